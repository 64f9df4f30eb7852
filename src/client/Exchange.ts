/** The response of one request, between the connection and the consumer. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Pull from "effect/Pull"
import { QueryRejected } from "../engine/QueryEngine.ts"
import type { Task } from "../loop/TurnScheduler.ts"
import * as Chunk from "../net/Chunk.ts"
import type { RequestOptions } from "./Client.ts"
import type { ClientError } from "./ClientError.ts"

/** The end of a response. */
export type End =
  | { readonly _tag: "Complete" }
  | { readonly _tag: "Rejected"; readonly payload: Uint8Array }
  | { readonly _tag: "Failed"; readonly payload: Uint8Array }
  | { readonly _tag: "Cancelled" }
  | { readonly _tag: "Broken"; readonly cause: Cause.Cause<ClientError> }

export type ChunkBatch = readonly [Uint8Array, ...Array<Uint8Array>]

/** The holder of an exchange: the queue of requests that wait for a connection, then that connection. */
export interface Line {
  /** Called when the consumer begins to wait for chunks, or discards them. */
  readonly starved: () => void
  /** Cancels the response unless it has ended, and waits for its end. */
  readonly finish: (exchange: Exchange) => Effect.Effect<void>
}

/**
 * Buffers arrived messages until the consumer takes them. One consumer waits at a time: for the accept, then
 * for chunks.
 */
export class Exchange implements Task {
  readonly body: Uint8Array
  /** The time of the request, in milliseconds of the timers. */
  readonly startedAt: number
  private readonly options: RequestOptions
  line: Line
  private isSent = false
  waits = false
  behind: Task | undefined
  private payload: Uint8Array | undefined
  private chunks: Array<Uint8Array> = []
  private ending: End | undefined
  /** The body of the final message, which is the last chunk unless it is kept separate. */
  private last: Uint8Array | undefined
  private keepsLast = false
  private waiter: (() => void) | undefined
  private overLatch: Latch.Latch | undefined
  private responded = false
  private claimed = false
  private abandoned = false

  constructor(body: Uint8Array, line: Line, startedAt: number, options: RequestOptions = noOptions) {
    this.body = body
    this.options = options
    this.line = line
    this.startedAt = startedAt
  }

  /** The replacement of an abandoned exchange on its connection, until its response has ended. */
  rest(): Exchange {
    const rest = new Exchange(nothing, this.line, this.startedAt, this.options)
    rest.sent = true
    return rest
  }

  /**
   * Whether the body of the final message must be buffered as a whole, because it may be separate from the
   * chunks.
   */
  get holdsFinal(): boolean {
    return this.options.holdsFinal === true
  }

  /** Whether the request was sent: from then on the server ends the response. */
  get sent(): boolean {
    return this.isSent
  }

  set sent(isSent: boolean) {
    this.isSent = isSent
    if (isSent) this.options.onSent?.()
  }

  get ended(): boolean {
    return this.ending !== undefined
  }

  get isAbandoned(): boolean {
    return this.abandoned
  }

  /** Whether the consumer is reading the result, so that taking chunks makes room for more. */
  get isConsumed(): boolean {
    return this.responded && !this.ended
  }

  /** Whether the accepted response must be read on: a consumer waits for chunks, or it is being discarded. */
  get starved(): boolean {
    return this.abandoned || (this.isConsumed && this.waiter !== undefined && this.chunks.length === 0)
  }

  accept(payload: Uint8Array): void {
    this.payload = payload
  }

  chunk(bytes: Uint8Array): void {
    if (bytes.length > 0 && !this.abandoned) this.chunks.push(bytes)
    else Chunk.release(bytes)
  }

  /** The response is complete, with the body of its final message, even if it was abandoned. */
  finished(body: Uint8Array): void {
    this.options.onComplete?.()
    if (body.length > 0 && !this.abandoned) this.last = body
    else Chunk.release(body)
    this.end({ _tag: "Complete" })
  }

  /** Other requests wait for this connection. Returns whether the exchange will end. */
  evict(): boolean {
    this.options.onEvicted?.()
    return this.options.onEvicted !== undefined
  }

  /** Keeps the body of the final message separate from the chunks. */
  keepLast(): void {
    this.keepsLast = true
  }

  /** The separate body of the final message, once the chunks have ended. */
  get final(): Uint8Array | undefined {
    return this.keepsLast ? this.last : undefined
  }

  end(end: End): void {
    this.ending ??= end
  }

  /** Ends the exchange without a response. */
  refuse(cause: Cause.Cause<ClientError>): void {
    this.end({ _tag: "Broken", cause })
    this.resume()
  }

  /** Ends the exchange with a server's reject. */
  reject(payload: Uint8Array): void {
    this.end({ _tag: "Rejected", payload })
    this.resume()
  }

  /** Resumes the waiting consumer, once for all messages of one read. */
  resume(): void {
    if (this.ending !== undefined) this.overLatch?.openUnsafe()
    this.waiter?.()
  }

  /** Discards all further messages. Returns false if that was done before. */
  abandon(): boolean {
    if (this.abandoned) return false
    this.abandoned = true
    for (const chunk of this.chunks.splice(0)) Chunk.release(chunk)
    if (this.last !== undefined && !this.keepsLast) this.takeLast()
    this.waiter?.()
    if (!this.ended) this.line.starved()
    return true
  }

  /** Discards the rest of the response, and waits until it has ended. */
  finish(): Effect.Effect<void> {
    return this.line.finish(this)
  }

  /** Waits for any end of the response. */
  get over(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.ended) return Effect.void
      this.overLatch ??= Latch.makeUnsafe(false)
      return this.overLatch.await
    })
  }

  /**
   * Resumes with the result of `respond` for the accept's payload, or fails if the exchange ends before it.
   */
  awaitAccept<A>(
    respond: (payload: Uint8Array, exchange: Exchange) => A,
    resume: (accepted: Effect.Effect<A, QueryRejected | ClientError>) => void
  ): void {
    this.wait(() => this.accepted(respond), resume)
  }

  /** The consumer waits no more. */
  leave(): void {
    this.waiter = undefined
  }

  private accepted<A>(
    respond: (payload: Uint8Array, exchange: Exchange) => A
  ): Effect.Effect<A, QueryRejected | ClientError> | undefined {
    if (this.payload !== undefined) {
      this.responded = true
      return Effect.succeed(respond(this.payload, this))
    }
    if (this.abandoned) return used
    switch (this.ending?._tag) {
      case undefined:
        return undefined
      case "Rejected":
        return Effect.fail(new QueryRejected({ payload: this.ending.payload }))
      case "Broken":
        return Effect.failCause(this.ending.cause)
      default:
        return used
    }
  }

  /** Registers the one consumer of the chunks. Returns false for any but the first. */
  claim(): boolean {
    const isFirst = !this.claimed
    this.claimed = true
    return isFirst
  }

  /** Pulls all arrived chunks, and waits if there are none. `failed` makes the error of a failed query. */
  pull<E>(failed: (payload: Uint8Array) => E): Pull.Pull<ChunkBatch, E | ClientError> {
    const next = () => this.next(failed)
    return Effect.suspend(() => next() ?? this.starve(next))
  }

  /** Makes the connection read until a chunk or the end has arrived. */
  private starve<A, E>(next: () => Effect.Effect<A, E> | undefined): Effect.Effect<A, E> {
    return Effect.callback((resume) => {
      // The exchange may have been abandoned before this consumer waited, which resumed no consumer.
      const result = next()
      if (result !== undefined) return resume(result)
      this.wait(next, resume)
      this.line.starved()
      return Effect.sync(() => this.leave())
    })
  }

  /** The consumer owns the last chunk, unless it is released here. */
  private takeLast(): void {
    const { last } = this
    this.last = undefined
    if (last === undefined) return
    if (this.abandoned) Chunk.release(last)
    else this.chunks.push(last)
  }

  private next<E>(failed: (payload: Uint8Array) => E): Pull.Pull<ChunkBatch, E | ClientError> | undefined {
    if (this.last !== undefined && !this.keepsLast) this.takeLast()
    const batch = this.chunks
    if (batch.length > 0) {
      this.chunks = []
      return Effect.succeed(batch as unknown as ChunkBatch)
    }
    if (this.abandoned) return used
    switch (this.ending?._tag) {
      case undefined:
        return undefined
      case "Complete":
        return done
      case "Failed":
        return Effect.fail(failed(this.ending.payload))
      case "Broken":
        return Effect.failCause(this.ending.cause)
      default:
        return used
    }
  }

  private wait<A>(poll: () => A | undefined, resume: (result: A) => void): void {
    // A closure assigned directly to a property is allocated in V8's old generation, which also retains its
    // references.
    const waiter = () => {
      const result = poll()
      if (result === undefined) return
      this.waiter = undefined
      resume(result)
    }
    this.waiter = waiter
  }
}

const nothing = new Uint8Array(0)
const noOptions: RequestOptions = {}

const done = Cause.done()

// An empty result instead would look like a whole one.
export const used = Effect.die(new Error("The response is used once, and only while its scope is open"))
