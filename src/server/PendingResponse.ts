/**
 * A response that is being written: what the query's fiber waits for, and what the writer takes.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { AcceptedQuery } from "../engine/QueryEngine.ts"
import type * as Writer from "../framing/Writer.ts"
import * as Chunk from "../net/Chunk.ts"
import * as Message from "../protocol/Message.ts"
import { type End, type Limits, Response } from "../protocol/Response.ts"
import type { QueryRunnerReason, QueryRunnerStatistics } from "./Statistics.ts"

/** What a response asks of its connection. */
export interface Connection {
  readonly writer: Writer.Writer<Message.Message>
  /** Elapsed time, in milliseconds. */
  readonly now: () => number
  /** When bytes last arrived: for a new response, those of its request. */
  readonly lastReadAt: () => number
  /** Whether a local reply is to be written, for which the client waits. */
  readonly isReplying: boolean
  /** Whether `take` would give messages. */
  readonly hasMore: (pending: PendingResponse) => boolean
  /** The messages of the next write, which precede all others from now on. */
  readonly take: (pending: PendingResponse, now: number) => ReadonlyArray<Message.Message>
  /** The response is over. */
  readonly over: (pending: PendingResponse, outcome: Outcome) => void
  /** A write failed, or could not be made. */
  readonly writeFailed: (cause: Cause.Cause<Writer.Failure>) => void
}

/** How a response ended: with this message, or with its connection, because of a failed write or not. */
export type Outcome =
  | { readonly _tag: "Written"; readonly terminal: Message.Message }
  | { readonly _tag: "Broken"; readonly isWriteFailure: boolean }

const isChunk = (type: Message.Type): boolean =>
  type === Message.Type.Intermediate || type === Message.Type.Final

/** The query of a response. */
export interface Runner {
  /** Ends it when its fiber has ended past all handlers: that is what comes of an effect that is none. */
  readonly broke: (cause: Cause.Cause<never>) => Effect.Effect<void>
}

export class PendingResponse implements Writer.Submission<Message.Message> {
  readonly response: Response
  /** Runs the query until that has ended. */
  runner: Runner | undefined
  private readonly connection: Connection
  private outcome: Outcome | undefined
  private terminal: Message.Message | undefined
  /** Resumes the query's fiber if what it waits for has come. */
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
    // A result that is there at once goes out together with the accept.
    this.connection.writer.submitSoon(this)
  }

  /** Takes chunks of the engine. Returns the wait until there is room for more, if there is none. */
  offer(chunks: ReadonlyArray<Uint8Array>): Effect.Effect<void> | undefined {
    const { response } = this
    this.runs++
    if (this.outcome !== undefined) {
      // The query is about to be interrupted, and nothing more is wanted of it.
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

  /** The socket has taken all that the engine has given. */
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

  /** There is something to write. */
  submit(): void {
    const { isReplying, writer } = this.connection
    if (isReplying) writer.submit(this)
    else writer.submitSoon(this)
  }

  /** No query runs for the request: a local reply is written. */
  get refuse(): Effect.Effect<void> {
    return Effect.sync(() => this.submit())
  }

  /** The connection has ended: nothing more will be written. */
  break(): void {
    this.finish(broken)
  }

  get urgent(): boolean {
    return this.connection.isReplying
  }

  take(now: number): ReadonlyArray<Message.Message> {
    const isLocal = this.connection.isReplying
    const messages = this.connection.take(this, now)
    // A local reply is not the query's.
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

  /** The socket has the messages: the engine works on the next ones meanwhile. */
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

  /** Gives chunks back to their owners, all of them, and returns the first defect. */
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

  /** The defect of an owner ends the connection. */
  private broken(defect: Cause.Cause<never> | undefined): void {
    if (defect !== undefined) this.connection.writeFailed(defect)
  }

  /** An engine that breaks here has nothing to say of rows. */
  private get rows(): number | undefined {
    try {
      return this.query?.rows?.()
    } catch {
      return undefined
    }
  }

  /** How long ago its request arrived. */
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
