/** A response that is being written: the query's fiber waits for it, and the writer takes its messages. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { AcceptedQuery } from "../engine/QueryEngine.ts"
import type * as Writer from "../framing/Writer.ts"
import * as Chunk from "../net/Chunk.ts"
import * as Message from "../protocol/Message.ts"
import { type End, type Limits, Response } from "../protocol/Response.ts"
import type { QueryRunnerReason, QueryRunnerStatistics } from "./Statistics.ts"

/** The members of a connection that a response uses. */
export interface Connection {
  readonly writer: Writer.Writer<Message.Message>
  /** Elapsed time, in milliseconds. */
  readonly now: () => number
  /** The time at which bytes last arrived: for a new response, those of its request. */
  readonly lastReadAt: () => number
  /** Whether a local reply is to be written, which the client waits for. */
  readonly isReplying: boolean
  /** Whether `take` would return messages. */
  readonly hasMore: (pending: PendingResponse) => boolean
  /** The messages of the next write, which precede all others from now on. */
  readonly take: (pending: PendingResponse, now: number) => ReadonlyArray<Message.Message>
  /** Called when the response has ended. */
  readonly over: (pending: PendingResponse, outcome: Outcome) => void
  /** Called when a write failed, or its messages could not be encoded. */
  readonly writeFailed: (cause: Cause.Cause<Writer.Failure>) => void
}

/** The end of a response: with this message, or with its connection, because of a failed write or not. */
export type Outcome =
  | { readonly _tag: "Written"; readonly terminal: Message.Message }
  | { readonly _tag: "Broken"; readonly isWriteFailure: boolean }

const isChunk = (type: Message.Type): boolean =>
  type === Message.Type.Intermediate || type === Message.Type.Final

/** The query of a response. */
export interface Runner {
  /**
   * Ends the query when its fiber failed outside all handlers, as an engine's value that is no effect makes
   * it do.
   */
  readonly broke: (cause: Cause.Cause<never>) => Effect.Effect<void>
}

export class PendingResponse implements Writer.Submission<Message.Message> {
  readonly response: Response
  /** The runner of the query, until it has ended. */
  runner: Runner | undefined
  private readonly connection: Connection
  private outcome: Outcome | undefined
  private terminal: Message.Message | undefined
  /** Resumes the query's fiber if its condition holds. */
  private waiter: (() => void) | undefined
  private isWriting = false
  private bytes = 0
  private payloadBytes = 0
  private messages = 0
  private runs = 0
  private readonly startedAt: number
  private query: AcceptedQuery | undefined

  constructor(connection: Connection, limits: Limits) {
    this.connection = connection
    this.startedAt = connection.lastReadAt()
    this.response = new Response(limits)
  }

  /** The engine accepted. */
  accept(query: AcceptedQuery): void {
    this.query = query
    this.response.accepted(query.payload)
    // A result that is available at once is written together with the accept.
    this.connection.writer.submitSoon(this)
  }

  /** Takes chunks of the engine. If there is no room for more, returns the wait for it. */
  offer(chunks: ReadonlyArray<Uint8Array>): Effect.Effect<void> | undefined {
    const { response } = this
    this.runs++
    if (this.outcome !== undefined) {
      // The query is about to be interrupted, so its chunks are discarded.
      this.release(chunks)
      return Effect.never
    }
    response.offer(chunks)
    if (!response.isFull) {
      this.connection.writer.submitSoon(this)
      return undefined
    }
    this.connection.writer.submit(this)
    return response.isFull ? this.until(() => !response.isFull) : undefined
  }

  /** Waits until the socket has taken all chunks of the engine. */
  get handedOver(): Effect.Effect<void> {
    return this.until(() => !(this.isWriting || this.response.hasMore))
  }

  private until(condition: () => boolean): Effect.Effect<void> {
    return Effect.callback((resume) => {
      if (condition()) return resume(Effect.void)
      this.waiter = () => {
        if (!condition()) return
        this.waiter = undefined
        resume(Effect.void)
      }
      return Effect.sync(() => {
        this.waiter = undefined
      })
    })
  }

  /** The query has ended by itself. */
  end(end: End): void {
    this.response.ended(end)
  }

  /** There are messages to write. */
  submit(): void {
    const { isReplying, writer } = this.connection
    if (isReplying) writer.submit(this)
    else writer.submitSoon(this)
  }

  /** No query runs for the request: a local reply is written. */
  get refuse(): Effect.Effect<void> {
    return Effect.sync(() => this.submit())
  }

  /** The connection has ended: nothing more is written. */
  break(): void {
    this.finish(broken)
  }

  get urgent(): boolean {
    return this.connection.isReplying
  }

  take(now: number): ReadonlyArray<Message.Message> {
    const isLocal = this.connection.isReplying
    const messages = this.connection.take(this, now)
    // A local reply does not count for the query.
    if (!isLocal) this.count(messages)
    this.isWriting = messages.length > 0
    const last = messages.at(-1)
    if (last !== undefined && Message.isTerminal(last.type)) this.terminal = last
    return messages
  }

  private count(messages: ReadonlyArray<Message.Message>): void {
    for (const message of messages) {
      this.bytes += Message.size(message)
      if (isChunk(message.type)) this.payloadBytes += message.body.length
    }
    this.messages += messages.length
  }

  /** The socket has the messages: the engine meanwhile produces the next ones. */
  started(): void {
    this.waiter?.()
  }

  ended(exit: Exit.Exit<void, Writer.Failure>): void {
    if (Exit.isFailure(exit)) {
      // First, so that no other request begins.
      this.connection.writeFailed(exit.cause)
      this.finish(Cause.hasInterruptsOnly(exit.cause) ? broken : failed)
      return
    }
    this.isWriting = false
    this.broken(this.release(this.response.sent()))
    if (this.terminal !== undefined) this.finish({ _tag: "Written", terminal: this.terminal })
    else if (this.connection.hasMore(this)) this.connection.writer.submit(this)
    this.waiter?.()
  }

  private finish(outcome: Outcome): void {
    if (this.outcome !== undefined) return
    this.outcome = outcome
    const defect = this.release(this.response.drop())
    this.connection.over(this, outcome)
    this.broken(defect)
  }

  /** Returns all chunks to their owners, and returns the first defect. */
  private release(chunks: ReadonlyArray<Uint8Array>): Cause.Cause<never> | undefined {
    let broken: Cause.Cause<never> | undefined
    for (const chunk of chunks) {
      try {
        Chunk.release(chunk)
      } catch (defect) {
        broken ??= Cause.die(defect)
      }
    }
    return broken
  }

  /** A defect of a chunk's owner ends the connection. */
  private broken(defect: Cause.Cause<never> | undefined): void {
    if (defect !== undefined) this.connection.writeFailed(defect)
  }

  /** `undefined` if the engine throws here. */
  private get rows(): number | undefined {
    try {
      return this.query?.rows?.()
    } catch {
      return undefined
    }
  }

  /** The time since the request arrived. */
  get elapsedMillis(): number {
    return this.connection.now() - this.startedAt
  }

  statistics(reason: QueryRunnerReason): QueryRunnerStatistics {
    return {
      bytesTransferred: this.bytes,
      payloadBytesTransferred: this.payloadBytes,
      messages: this.messages,
      runs: this.runs,
      durationMillis: this.elapsedMillis,
      queryId: this.query?.queryId,
      rows: this.rows,
      reason
    }
  }
}

const broken: Outcome = { _tag: "Broken", isWriteFailure: false }
const failed: Outcome = { _tag: "Broken", isWriteFailure: true }
