/**
 * Runs one query: asks the engine, takes its result ahead of the socket by a bounded number of bytes, and
 * writes the response.
 *
 * One fiber runs the query and fills a {@link ResponseBuffer}; the writer empties it whenever the socket takes
 * more, on the stack of whoever made that so. The query's finalizers have run before the message that ends the
 * response is written. Interruption is cancel: the driver writes nothing afterwards.
 */
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import {
  type AcceptedQuery,
  type QueryEngine,
  type QueryFailed,
  QueryInitError,
  type QueryRejected
} from "../engine/QueryEngine.ts"
import * as Frame from "../wire/Frame.ts"
import type * as FrameWriter from "../wire/FrameWriter.ts"
import { type End, ResponseBuffer, type Settings } from "./ResponseBuffer.ts"
import type { QueryDriverReason, QueryDriverStatistics } from "./Statistics.ts"

/** What the drivers of a connection share: where a query goes, and who hears of it. */
export interface Host {
  readonly engine: QueryEngine["Service"]
  readonly writer: Pick<FrameWriter.FrameWriter, "submit" | "submitSoon" | "withdraw" | "copies">
  readonly settings: Settings
  /** The body of the error for a defect of the engine, which says nothing of the cause to the client. */
  readonly internalError: () => Uint8Array
  /** The engine accepted. Runs before the accept is written. */
  readonly accepted: (payload: Uint8Array, timeout: Duration.Input | undefined) => Effect.Effect<void>
  /** The accept is about to be written; nothing can precede it now. */
  readonly acceptBegun: () => void
  /** The same of the message that ends the response. */
  readonly terminalBegun: () => void
  /** A write failed; the connection is of no more use. */
  readonly writeFailed: (error: FrameWriter.Failure) => void
}

export interface QueryDriver {
  /**
   * Runs the query until the message that ends the response has been written, and says how it ended.
   * Fails if the engine could not initialise it, or if the socket failed.
   */
  readonly run: Effect.Effect<End, QueryInitError | FrameWriter.Failure, Scope.Scope>
  /** Writes nothing from now on; belongs to the interruption of `run`. */
  readonly mute: () => void
  readonly statistics: (reason: QueryDriverReason) => QueryDriverStatistics
}

/**
 * Constructs a driver; nothing happens before `run`. The scope is the query's own, that of the fiber that runs
 * it, and the driver closes it.
 */
export const make = (host: Host, request: Uint8Array, scope: Scope.Closeable): QueryDriver =>
  new Driver(host, request, scope)

type Failure = QueryInitError | FrameWriter.Failure
type FillError = QueryRejected | QueryFailed | Failure | Cause.Done

const complete: End = { _tag: "Complete" }
const noFrames: ReadonlyArray<Frame.Frame> = []

/** One after the other; what does nothing costs nothing. */
export const first = <A, E, R, E2, R2>(
  before: Effect.Effect<void, E2, R2>,
  then: Effect.Effect<A, E, R>
): Effect.Effect<A, E | E2, R | R2> => (before === Effect.void ? then : Effect.andThen(before, then))

const isChunk = (type: Frame.Type): boolean => type === Frame.Type.Intermediate || type === Frame.Type.Final

class Driver implements QueryDriver, FrameWriter.Submission {
  private readonly host: Host
  private readonly request: Uint8Array
  private readonly scope: Scope.Closeable
  private readonly buffer: ResponseBuffer
  private muted = false
  private written = false
  private writeFailed: Exit.Exit<never, FrameWriter.Failure> | undefined
  private wake: (() => void) | undefined
  private release: AcceptedQuery["release"]
  private bytes = 0
  private payloadBytes = 0
  private messages = 0
  private runs = 0

  constructor(host: Host, request: Uint8Array, scope: Scope.Closeable) {
    this.host = host
    this.request = request
    this.scope = scope
    this.buffer = new ResponseBuffer(host.settings)
  }

  get run(): Effect.Effect<End, Failure, Scope.Scope> {
    return Effect.matchCauseEffect(Effect.onExit(this.fill(), this.close), {
      onSuccess: () => this.end(complete),
      onFailure: (cause) => (Pull.isDoneCause(cause) ? this.end(complete) : this.fail(cause))
    })
  }

  mute(): void {
    this.muted = true
    this.host.writer.withdraw(this)
  }

  /** That a stream is done is not a failure to the query's finalizers. */
  private readonly close = (exit: Exit.Exit<void, FillError>): Effect.Effect<void> => {
    const done = Exit.isFailure(exit) && Pull.isDoneCause(exit.cause)
    return Scope.closeUnsafe(this.scope, done ? Exit.void : exit) ?? Effect.void
  }

  private fill(): Effect.Effect<void, FillError, Scope.Scope> {
    return Effect.flatMap(this.init(), (accepted) =>
      first(this.host.accepted(accepted.payload, accepted.timeout), this.stream(accepted))
    )
  }

  private init(): ReturnType<Host["engine"]["init"]> {
    try {
      return this.host.engine.init(this.request)
    } catch (defect) {
      return Effect.die(defect)
    }
  }

  private stream({ chunks, payload, release }: AcceptedQuery): Effect.Effect<void, FillError> {
    if (this.host.writer.copies) this.release = release
    return Effect.flatMap(Channel.toPullScoped(Stream.toChannel(chunks), this.scope), (pull) => {
      this.buffer.accepted(payload)
      // A result that is there at once goes out together with the accept.
      this.host.writer.submitSoon(this)
      return this.drain(pull)
    })
  }

  private drain(pull: Pull.Pull<ReadonlyArray<Uint8Array>, QueryFailed>): Effect.Effect<never, FillError> {
    const next: Effect.Effect<never, FillError> = Effect.flatMap(pull, (chunks) => {
      this.runs++
      this.buffer.offer(chunks)
      if (!this.buffer.isFull) {
        this.host.writer.submitSoon(this)
        return next
      }
      this.host.writer.submit(this)
      return this.buffer.isFull
        ? Effect.andThen(
            this.waitUntil(() => !this.buffer.isFull),
            next
          )
        : next
    })
    return next
  }

  private end(end: End): Effect.Effect<End, FrameWriter.Failure> {
    this.buffer.ended(end)
    this.host.writer.submit(this)
    return this.written
      ? Effect.succeed(end)
      : Effect.as(
          this.waitUntil(() => this.written),
          end
        )
  }

  /** The query has ended, and its finalizers have run, without a complete result. */
  private fail(cause: Cause.Cause<FillError>): Effect.Effect<End, Failure> {
    const error = Cause.findErrorOption(cause)
    if (error._tag === "Some") {
      switch (error.value._tag) {
        case "QueryRejected":
          return this.end({ _tag: "Rejected", payload: error.value.payload })
        case "QueryFailed":
          return this.end({ _tag: "Failed", payload: error.value.payload })
        case "QueryInitError":
        case "Done":
          break
        default:
          return Effect.fail(error.value)
      }
    }
    if (!this.buffer.isAccepted) return Effect.fail(initError(cause))
    const failed = Effect.suspend(() => this.end({ _tag: "Failed", payload: this.host.internalError() }))
    return Cause.hasInterruptsOnly(cause)
      ? failed
      : Effect.andThen(Effect.logError("The engine died while streaming a result", cause), failed)
  }

  /** Waits for the writer to get on. There is one waiter, the query's fiber. */
  private waitUntil(holds: () => boolean): Effect.Effect<void, FrameWriter.Failure> {
    return Effect.callback((resume) => {
      this.wake = () => {
        if (this.writeFailed !== undefined) resume(this.writeFailed)
        else if (holds()) resume(Effect.void)
      }
      this.wake()
    })
  }

  take(): ReadonlyArray<Frame.Frame> {
    if (this.muted) return noFrames
    const frames = this.buffer.take()
    for (const frame of frames) {
      this.bytes += Frame.size(frame)
      if (isChunk(frame.type)) this.payloadBytes += frame.body.length
      this.messages++
    }
    if (frames[0]?.type === Frame.Type.Accept) this.host.acceptBegun()
    if (frames.length > 0 && this.buffer.done) this.host.terminalBegun()
    return frames
  }

  /** The socket has the frames: the engine works on the next ones meanwhile. */
  started(): void {
    this.wake?.()
  }

  ended(exit: Exit.Exit<void, FrameWriter.Failure>): void {
    if (Exit.isSuccess(exit)) {
      this.sent()
      this.written = this.buffer.done && this.writeFailed === undefined
      if (this.buffer.hasMore && !this.muted) this.host.writer.submit(this)
    } else {
      this.writeFailed = Exit.failCause(exit.cause)
      const error = Cause.findErrorOption(exit.cause)
      if (error._tag === "Some") this.host.writeFailed(error.value)
    }
    this.wake?.()
  }

  private sent(): void {
    const chunks = this.buffer.sent()
    if (this.release === undefined) return
    try {
      for (const chunk of chunks) this.release(chunk)
    } catch (defect) {
      this.release = undefined
      this.writeFailed = Exit.die(defect)
    }
  }

  statistics(reason: QueryDriverReason): QueryDriverStatistics {
    return {
      bytesTransferred: this.bytes,
      payloadBytesTransferred: this.payloadBytes,
      messages: this.messages,
      runs: this.runs,
      reason
    }
  }
}

const initError = (cause: Cause.Cause<FillError>): QueryInitError => {
  if (Cause.hasInterruptsOnly(cause)) {
    return new QueryInitError({ message: "The engine interrupted its own query" })
  }
  const error = Cause.squash(cause)
  return new QueryInitError({ message: error instanceof Error ? error.message : String(error), cause: error })
}
