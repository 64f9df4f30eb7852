/**
 * The response of a query between the engine that fills it and the writer that empties it: the payload of the
 * accept, chunks up to a number of bytes, and the end.
 *
 * A response enforces the order: the accept precedes the chunks, and one message after all of them ends it.
 */
import { isUint8Array } from "node:util/types"
import * as Message from "./Message.ts"

/**
 * The end of a response whose query has ended by itself.
 *
 * @category models
 * @since 0.1.0
 */
export type End =
  /** `final` is the body of the final message; without it, the last chunk is. */
  | { readonly _tag: "Complete"; readonly final?: Uint8Array | undefined }
  | { readonly _tag: "Failed"; readonly payload: Uint8Array }
  | { readonly _tag: "Rejected"; readonly payload: Uint8Array }

/**
 * The limits of a response's buffers and writes.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Limits {
  /** Largest body of a chunk message, in bytes. */
  readonly chunkSize: number
  /**
   * The number of bytes, headers included, that are taken from the engine ahead of the socket; a chunk counts
   * for at least 128.
   */
  readonly prefetchSize: number
  /** The maximum number of bytes of chunks, headers included, in one write. */
  readonly batchSize: number
}

/** The number of bytes of chunks in the first writes of a connection. */
const firstBatchSize = 64 * 1024

/**
 * The number of bytes of chunks in the next write of a connection that has written `written` bytes: an eighth
 * of them. A peer that has read nothing yet has room for 64 KiB. TCP's BBR takes the rest of a longer write,
 * which waits in the kernel, for a sign that the path is at its limit, and paces the connection from then on.
 */
const nextBatchSize = (batchSize: number, written: number): number =>
  Math.min(batchSize, Math.max(firstBatchSize, written / 8))

/** The memory of a chunk besides its bytes, in bytes, and the number of chunks that are always held. */
const overhead = 128
const fewChunks = 1024

const empty = new Uint8Array(0)
const none: ReadonlyArray<Uint8Array> = []

// The header counts too: headers are most of the cost of many small chunks.
const size = (chunk: Uint8Array): number => Message.headerSize + chunk.length

/** Text would be counted in characters and sent as that many zero bytes. */
const assertBytes = (what: string, given: unknown): void => {
  if (!isUint8Array(given))
    throw new TypeError(`The engine gave ${what} that is no Uint8Array: ${typeof given}`)
}

/**
 * A response between the engine that fills it and the writer that empties it.
 *
 * @category models
 * @since 0.1.0
 */
export class Response {
  private readonly limits: Limits
  private accept: Uint8Array | undefined
  private acceptedOnce = false
  private chunks: Array<Uint8Array> = []
  /** The number of bytes of the first chunk that have been taken. */
  private offset = 0
  private bytes = 0
  private spent: ReadonlyArray<Uint8Array> = none
  private ending: End | undefined
  private finished = false

  constructor(limits: Limits) {
    this.limits = limits
  }

  /** Whether the message that ends the response has been taken. */
  get done(): boolean {
    return this.finished
  }

  /** Whether the engine has accepted. */
  get isAccepted(): boolean {
    return this.acceptedOnce
  }

  /** The end of the response, once the query has ended. */
  get end(): End | undefined {
    return this.ending
  }

  /** Whether there are messages to take. */
  get hasMore(): boolean {
    return (
      this.accept !== undefined || this.chunks.length > 0 || (this.ending !== undefined && !this.finished)
    )
  }

  /** Whether the limit ahead of the socket is reached. Many chunks reach it too, however short. */
  get isFull(): boolean {
    const { prefetchSize } = this.limits
    return (
      this.bytes >= prefetchSize ||
      this.chunks.length >= Math.max(fewChunks, Math.floor(prefetchSize / overhead))
    )
  }

  /** The engine accepted: the response begins with this payload. Throws a `TypeError` unless it is bytes. */
  accepted(payload: Uint8Array): void {
    assertBytes("a payload", payload)
    this.accept = payload
    this.acceptedOnce = true
  }

  /** Adds chunks. Throws a `TypeError` at one that is not bytes. */
  offer(chunks: ReadonlyArray<Uint8Array>): void {
    for (const chunk of chunks) {
      assertBytes("a chunk", chunk)
      if (chunk.length === 0) continue
      this.chunks.push(chunk)
      this.bytes += size(chunk)
    }
  }

  /** The messages of the last `take` have been sent. Returns the chunks that are completely sent. */
  sent(): ReadonlyArray<Uint8Array> {
    const { spent } = this
    this.spent = none
    return spent
  }

  /** No chunks follow the offered ones. */
  ended(end: End): void {
    this.ending = end
  }

  /** Nothing more is written. Returns the chunks that no write has taken. */
  drop(): ReadonlyArray<Uint8Array> {
    const { chunks } = this
    this.accept = undefined
    this.chunks = []
    this.offset = 0
    this.bytes = 0
    return chunks
  }

  /**
   * The next messages to write: the accept, the chunks of one write, and the terminal message. `written` is
   * the number of bytes that the connection has written before.
   */
  take(written: number): Array<Message.Message> {
    const messages: Array<Message.Message> = []
    if (this.accept !== undefined) {
      messages.push({ type: Message.Type.Accept, body: this.accept })
      this.accept = undefined
    }
    this.takeChunks(messages, nextBatchSize(this.limits.batchSize, written))
    if (this.chunks.length === 0 && this.ending !== undefined && !this.finished) {
      this.finish(messages, this.ending)
    }
    return messages
  }

  private takeChunks(messages: Array<Message.Message>, batchSize: number): void {
    const { chunkSize } = this.limits
    let next = 0
    let taken = 0
    while (next < this.chunks.length && taken < batchSize) {
      const chunk = this.chunks[next] ?? empty
      const end = this.offset + chunkSize
      if (chunk.length <= end) {
        const body = this.offset === 0 ? chunk : chunk.subarray(this.offset)
        messages.push({ type: Message.Type.Intermediate, body })
        taken += size(body)
        next++
        this.offset = 0
      } else {
        messages.push({ type: Message.Type.Intermediate, body: chunk.subarray(this.offset, end) })
        taken += chunkSize
        this.offset = end
      }
    }
    this.bytes -= taken
    if (next < this.chunks.length) {
      this.spent = this.chunks.splice(0, next)
    } else {
      this.spent = this.chunks
      this.chunks = []
    }
  }

  private finish(messages: Array<Message.Message>, end: End): void {
    this.finished = true
    switch (end._tag) {
      case "Complete": {
        if (end.final !== undefined) {
          messages.push({ type: Message.Type.Final, body: end.final })
          return
        }
        // The last available chunk becomes the final one; if all were taken, an empty message ends the
        // response.
        const last = messages.at(-1)
        const hasChunk = last?.type === Message.Type.Intermediate
        if (hasChunk) messages.pop()
        messages.push({ type: Message.Type.Final, body: hasChunk ? last.body : empty })
        return
      }
      case "Failed":
        messages.push({ type: Message.Type.Error, body: end.payload })
        return
      case "Rejected":
        messages.push({ type: Message.Type.Reject, body: end.payload })
        return
    }
  }
}
