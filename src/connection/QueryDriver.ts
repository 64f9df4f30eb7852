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

export interface Options {
  readonly engine: QueryEngine["Service"]
  readonly request: Uint8Array
  /** The query's own scope, which is that of the fiber that runs it. The driver closes it. */
  readonly scope: Scope.Closeable
  readonly writer: Pick<FrameWriter.FrameWriter, "submit" | "submitSoon" | "withdraw">
  readonly settings: Settings
  /** The body of the error for a defect of the engine, which says nothing of the cause to the client. */
  readonly internalError: () => Uint8Array
  /** The engine accepted. Runs before the accept is written. */
  readonly onAccepted: (payload: Uint8Array, timeout: Duration.Input | undefined) => Effect.Effect<void>
  /** The accept, or the message that ends the response, is about to be written; nothing can precede it now. */
  readonly onBegin: (what: "accept" | "terminal") => void
  /** A write failed; the connection is of no more use. */
  readonly onWriteFailed: (error: FrameWriter.Failure) => void
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

/** Constructs a driver; nothing happens before `run`. */
export const make = (options: Options): QueryDriver => new Driver(options)

type Failure = QueryInitError | FrameWriter.Failure
type FillError = QueryRejected | QueryFailed | Failure

const complete: End = { _tag: "Complete" }
const noFrames: ReadonlyArray<Frame.Frame> = []

/** One after the other; what does nothing costs nothing. */
export const first = <A, E, R, E2, R2>(
  before: Effect.Effect<void, E2, R2>,
  then: Effect.Effect<A, E, R>
): Effect.Effect<A, E | E2, R | R2> => (before === Effect.void ? then : Effect.andThen(before, then))

const isChunk = (type: Frame.Type): boolean => type === Frame.Type.Intermediate || type === Frame.Type.Final

class Driver implements QueryDriver, FrameWriter.Submission {
  private readonly options: Options
  private readonly buffer: ResponseBuffer
  private muted = false
  private written = false
  private writeFailed: Exit.Exit<never, FrameWriter.Failure> | undefined
  private wake: (() => void) | undefined
  private bytes = 0
  private payloadBytes = 0
  private messages = 0
  private runs = 0

  constructor(options: Options) {
    this.options = options
    this.buffer = new ResponseBuffer(options.settings)
  }

  get run(): Effect.Effect<End, Failure, Scope.Scope> {
    const { scope } = this.options
    const filled = Effect.onExit(this.fill(), (exit) => Scope.closeUnsafe(scope, exit) ?? Effect.void)
    return Effect.matchCauseEffect(filled, {
      onSuccess: () => this.end(complete),
      onFailure: (cause) => this.fail(cause)
    })
  }

  mute(): void {
    this.muted = true
    this.options.writer.withdraw(this)
  }

  private fill(): Effect.Effect<void, FillError, Scope.Scope> {
    const { engine, onAccepted, request } = this.options
    return Effect.flatMap(engine.init(request), (accepted) =>
      first(onAccepted(accepted.payload, accepted.timeout), this.stream(accepted))
    )
  }

  private stream({ chunks, payload }: AcceptedQuery): Effect.Effect<void, FillError> {
    const pulled = Effect.flatMap(
      Channel.toPullScoped(Stream.toChannel(chunks), this.options.scope),
      (pull) => {
        this.buffer.accepted(payload)
        // A result that is there at once goes out together with the accept.
        this.options.writer.submitSoon(this)
        return this.drain(pull)
      }
    )
    return Pull.catchDone(pulled, () => Effect.void)
  }

  private drain(pull: Pull.Pull<ReadonlyArray<Uint8Array>, QueryFailed>): Pull.Pull<never, FillError> {
    const next: Pull.Pull<never, FillError> = Effect.flatMap(pull, (chunks) => {
      this.runs++
      this.buffer.offer(chunks)
      if (!this.buffer.isFull) {
        this.options.writer.submitSoon(this)
        return next
      }
      this.options.writer.submit(this)
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
    this.options.writer.submit(this)
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
          break
        default:
          return Effect.fail(error.value)
      }
    }
    if (!this.buffer.isAccepted) return Effect.fail(initError(cause))
    const failed = Effect.suspend(() => this.end({ _tag: "Failed", payload: this.options.internalError() }))
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
    if (frames[0]?.type === Frame.Type.Accept) this.options.onBegin("accept")
    if (frames.length > 0 && this.buffer.done) this.options.onBegin("terminal")
    return frames
  }

  /** The socket has the frames: the engine works on the next ones meanwhile. */
  started(): void {
    this.wake?.()
  }

  ended(exit: Exit.Exit<void, FrameWriter.Failure>): void {
    if (Exit.isSuccess(exit)) {
      this.written = this.buffer.done
      if (this.buffer.hasMore && !this.muted) this.options.writer.submit(this)
    } else {
      this.writeFailed = Exit.failCause(exit.cause)
      const error = Cause.findErrorOption(exit.cause)
      if (error._tag === "Some") this.options.onWriteFailed(error.value)
    }
    this.wake?.()
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
