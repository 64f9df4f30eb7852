/**
 * Runs one query: asks the engine, takes its result ahead of the socket by a bounded number of bytes, and
 * writes the response.
 *
 * One fiber runs the query and fills a {@link ResponseBuffer}; the writer empties it whenever the socket takes
 * more, on the stack of whoever made that so. The message that ends the response is written when the query's
 * finalizers have run, at the end of the event loop's turn: together with those of other connections, so that a
 * client which waits for many of them is woken once.
 */
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
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
import * as QueryLimit from "./QueryLimit.ts"
import * as RequestQuota from "./RequestQuota.ts"
import { type End, ResponseBuffer } from "./ResponseBuffer.ts"
import type { Limits } from "./Settings.ts"
import type { QueryDriverReason, QueryDriverStatistics } from "./Statistics.ts"
import type { Turn } from "./Turns.ts"

/** What became of a query. */
export type Outcome =
  | End
  /** It was stopped, and its finalizers have run. */
  | { readonly _tag: "Stopped" }
  /** The response has not been written to its end: the engine could not initialise it, or the connection ends. */
  | { readonly _tag: "Broken"; readonly cause: Cause.Cause<QueryInitError | FrameWriter.Failure> }

/** What the drivers of a connection share: where a query goes, and who hears of it. */
export interface Host {
  readonly engine: QueryEngine["Service"]
  readonly limit: QueryLimit.Places
  readonly quota: RequestQuota.Quota
  readonly writer: Pick<
    FrameWriter.FrameWriter,
    "submit" | "submitSoon" | "withdraw" | "copies" | "bytesWritten"
  >
  readonly limits: Limits
  /** Makes a request known, and goes on when that is done. */
  readonly announce: (request: Uint8Array, then: () => void) => void
  /** Runs a query in a fiber of the connection, which starts at once; `undefined` if the connection has ended. */
  readonly fork: <E>(
    query: Effect.Effect<void, E, Scope.Scope>,
    scope?: Scope.Scope
  ) => Fiber.Fiber<void, E> | undefined
  /** Runs an effect to its end, also while the connection ends. */
  readonly finish: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  readonly isOpen: boolean
  /** The engine accepted. Runs before the accept is written. */
  readonly accepted: (payload: Uint8Array, timeout: Duration.Input | undefined) => Effect.Effect<void>
  /** The accept is about to be written; nothing can precede it now. */
  readonly acceptBegun: () => void
  /** The same of the message that ends the response. */
  readonly terminalBegun: (now: number) => void
  /** A write failed; the connection is of no more use. */
  readonly writeFailed: (error: FrameWriter.Failure) => void
  /** The engine had a defect. Returns the body of the error for it, which says nothing of the cause. */
  readonly died: (cause: Cause.Cause<unknown>) => Uint8Array
  /** The last word of a driver: the message that ends the response has been written, or none will be. */
  readonly queryEnded: (driver: QueryDriver, outcome: Outcome) => void
}

export interface QueryDriver extends Turn {
  /** Writes nothing from now on, and interrupts the query: its outcome is `Stopped`. */
  readonly stop: () => void
  /** Counts the request for the quota if it waits for the response before it. False if there is no room. */
  readonly hold: () => boolean
  readonly statistics: (reason: QueryDriverReason) => QueryDriverStatistics
}

/** Constructs a driver; nothing happens before it is started. */
export const make = (host: Host, request: Uint8Array): QueryDriver => new Driver(host, request)

type Failure = QueryInitError | FrameWriter.Failure
type FillError = QueryRejected | QueryFailed | Failure | Cause.Done

const complete: End = { _tag: "Complete" }
const stopped: Outcome = { _tag: "Stopped" }
const waitedTooLong = "The query has waited for its turn for as long as it may (queueTimeout)"
const noFrames: ReadonlyArray<Frame.Frame> = []

const isChunk = (type: Frame.Type): boolean => type === Frame.Type.Intermediate || type === Frame.Type.Final

class Driver implements QueryDriver, QueryLimit.Place, FrameWriter.Submission {
  private readonly host: Host
  private readonly request: Uint8Array
  private readonly scope = Scope.makeUnsafe()
  private readonly buffer: ResponseBuffer
  /** The request's memory, while it waits. */
  private readonly held: RequestQuota.Hold
  /** The query's, once it has started. */
  private fiber: Fiber.Fiber<void, FillError> | undefined
  /** The query has ended, and what is left is to write the rest of the response. */
  private filled = false
  private place: "none" | "waiting" | "running" = "none"
  private muted = false
  private over = false
  private failure: Exit.Exit<never, FrameWriter.Failure> | undefined
  private refused: Exit.Exit<never, QueryRejected> | undefined
  /** What the query's fiber goes on with, while it waits. */
  private resume: ((goOn: Effect.Effect<void, QueryRejected | FrameWriter.Failure>) => void) | undefined
  private release: AcceptedQuery["release"]
  private bytes = 0
  private payloadBytes = 0
  private messages = 0
  private runs = 0

  constructor(host: Host, request: Uint8Array) {
    this.host = host
    this.request = request
    this.buffer = new ResponseBuffer(host.limits)
    this.held = new RequestQuota.Hold(host.quota)
  }

  start(): void {
    this.host.announce(this.request, this.begin)
  }

  stop(): void {
    this.muted = true
    this.host.writer.withdraw(this)
    if (this.filled) this.end(stopped)
    else this.fiber?.interruptUnsafe()
  }

  hold(): boolean {
    return this.over || this.fiber !== undefined || this.held.resize(this.request.length)
  }

  abandon(): void {
    if (this.filled) this.end({ _tag: "Broken", cause: Cause.interrupt() })
  }

  private readonly begin = (): void => {
    if (this.muted) {
      this.end(stopped)
      return
    }
    this.fiber = this.host.fork(Effect.suspend(this.fill), this.scope)
    if (this.fiber === undefined) this.end({ _tag: "Broken", cause: Cause.interrupt() })
    else this.fiber.addObserver(this.close)
  }

  /** Takes its place in one step, in which nobody can come in between. */
  private readonly fill = (): Effect.Effect<void, FillError, Scope.Scope> => {
    const place = this.host.limit.enter(this)
    if (place !== "running" && place !== "waiting") return Effect.fail(this.host.limit.overloaded(place))
    this.place = place
    return place === "running" ? this.query() : Effect.andThen(this.turn, Effect.suspend(this.query))
  }

  /** Waits for a place to run, for as long as that may take. */
  private get turn(): Effect.Effect<void, QueryRejected | FrameWriter.Failure> {
    if (!this.held.resize(this.request.length)) {
      return Effect.fail(QueryLimit.overloaded(RequestQuota.exceeded(this.host.quota)))
    }
    return Effect.timeoutOrElse(this.ready, {
      duration: this.host.limits.queueTimeoutMillis,
      orElse: () => Effect.fail(QueryLimit.overloaded(waitedTooLong))
    })
  }

  call(): void {
    this.place = "running"
    this.wake()
  }

  displaced(): void {
    this.place = "none"
    this.refused = Exit.fail(this.host.limit.overloaded("displaced"))
    this.wake()
  }

  /** Waits until the query has a place and the writer has made room in the buffer. */
  private get ready(): Effect.Effect<void, QueryRejected | FrameWriter.Failure> {
    return Effect.callback((resume) => {
      this.resume = resume
      this.wake()
    })
  }

  private wake(): void {
    const { resume } = this
    const failure = this.failure ?? this.refused
    const isReady = failure !== undefined || (this.place === "running" && !this.buffer.isFull)
    if (resume === undefined || !isReady) return
    this.resume = undefined
    resume(failure ?? Effect.void)
  }

  private readonly query = (): Effect.Effect<void, FillError, Scope.Scope> => {
    this.held.release()
    return Effect.flatMapEager(this.host.engine.init(this.request), (accepted) => {
      const told = this.host.accepted(accepted.payload, accepted.timeout)
      return told === Effect.void ? this.stream(accepted) : Effect.andThen(told, this.stream(accepted))
    })
  }

  private stream({ chunks, payload, release }: AcceptedQuery): Effect.Effect<void, FillError> {
    if (this.host.writer.copies) this.release = release
    return Effect.flatMapEager(Channel.toPullScoped(Stream.toChannel(chunks), this.scope), (pull) => {
      this.buffer.accepted(payload)
      // A result that is there at once goes out together with the accept.
      this.host.writer.submitSoon(this)
      return this.drain(pull)
    })
  }

  private drain(pull: Pull.Pull<ReadonlyArray<Uint8Array>, QueryFailed>): Effect.Effect<never, FillError> {
    let later: Effect.Effect<never, FillError> | undefined
    const next: Effect.Effect<never, FillError> = Effect.flatMap(pull, (chunks) => {
      this.runs++
      this.buffer.offer(chunks)
      if (!this.buffer.isFull) {
        this.host.writer.submitSoon(this)
        return next
      }
      this.host.writer.submit(this)
      if (!this.buffer.isFull) return next
      later ??= Effect.andThen(this.ready, next)
      return later
    })
    return next
  }

  /** Runs the query's finalizers. That a stream is done is the query's success. */
  private readonly close = (exit: Exit.Exit<void, FillError>): void => {
    const ended = Exit.isFailure(exit) && Pull.isDoneCause(exit.cause) ? Exit.void : exit
    const closing = Scope.closeUnsafe(this.scope, ended)
    if (closing === undefined) this.closed(ended)
    else this.host.finish(closing).addObserver((closed) => this.closed(both(ended, closed)))
  }

  private closed(exit: Exit.Exit<void, FillError>): void {
    if (this.place !== "none") this.host.limit.leave(this)
    this.held.release()
    this.filled = true
    const outcome = this.outcome(exit)
    if (outcome._tag === "Broken" || outcome._tag === "Stopped") {
      this.end(outcome)
    } else {
      this.buffer.ended(outcome)
      this.host.writer.submitSoon(this)
    }
  }

  /** How the response ends, or why it does not. */
  private outcome(exit: Exit.Exit<void, FillError>): Outcome {
    if (this.muted) return stopped
    if (this.failure !== undefined) return broken(this.failure)
    if (Exit.isSuccess(exit)) return complete
    const { cause } = exit
    const error = Cause.findErrorOption(cause)
    if (error._tag === "Some") {
      switch (error.value._tag) {
        case "QueryRejected":
          return { _tag: "Rejected", payload: error.value.payload }
        case "QueryFailed":
          return { _tag: "Failed", payload: error.value.payload }
        case "Done":
          break
        default:
          return { _tag: "Broken", cause: Cause.fail(error.value) }
      }
    }
    if (!this.host.isOpen) return { _tag: "Broken", cause: Cause.interrupt() }
    if (!this.buffer.isAccepted) return { _tag: "Broken", cause: Cause.fail(initError(cause)) }
    return { _tag: "Failed", payload: this.host.died(cause) }
  }

  private end(outcome: Outcome): void {
    if (this.over) return
    this.over = true
    this.held.release()
    this.host.writer.withdraw(this)
    this.host.queryEnded(this, outcome)
  }

  take(now: number): ReadonlyArray<Frame.Frame> {
    if (this.muted) return noFrames
    const frames = this.buffer.take(this.host.writer.bytesWritten())
    for (const frame of frames) {
      this.bytes += Frame.size(frame)
      if (isChunk(frame.type)) this.payloadBytes += frame.body.length
      this.messages++
    }
    if (frames[0]?.type === Frame.Type.Accept) this.host.acceptBegun()
    if (frames.length > 0 && this.buffer.done) this.host.terminalBegun(now)
    return frames
  }

  /** The socket has the frames: the engine works on the next ones meanwhile. */
  started(): void {
    this.wake()
  }

  ended(exit: Exit.Exit<void, FrameWriter.Failure>): void {
    if (Exit.isSuccess(exit)) {
      this.giveBack()
    } else {
      this.failure = Exit.failCause(exit.cause)
      const error = Cause.findErrorOption(exit.cause)
      if (error._tag === "Some") this.host.writeFailed(error.value)
    }
    if (this.failure !== undefined) {
      if (this.filled) this.end(broken(this.failure))
      else this.wake()
    } else if (this.buffer.done) {
      this.end(this.buffer.end ?? complete)
    } else {
      if (this.buffer.hasMore && !this.muted) this.host.writer.submit(this)
      this.wake()
    }
  }

  private giveBack(): void {
    const chunks = this.buffer.sent()
    if (this.release === undefined) return
    try {
      for (const chunk of chunks) this.release(chunk)
    } catch (defect) {
      this.release = undefined
      this.failure = Exit.die(defect)
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

/** How a query ended, with what its finalizers made of it. */
const both = (query: Exit.Exit<void, FillError>, closed: Exit.Exit<void>): Exit.Exit<void, FillError> => {
  if (Exit.isSuccess(closed)) return query
  return Exit.isSuccess(query) ? closed : Exit.failCause(Cause.combine(query.cause, closed.cause))
}

const broken = (exit: Exit.Exit<never, FrameWriter.Failure>): Outcome => ({
  _tag: "Broken",
  cause: Exit.isFailure(exit) ? exit.cause : Cause.empty
})

const initError = (cause: Cause.Cause<FillError>): QueryInitError => {
  if (Cause.hasInterruptsOnly(cause)) {
    return new QueryInitError({ message: "The engine interrupted its own query" })
  }
  const error = Cause.squash(cause)
  return new QueryInitError({ message: error instanceof Error ? error.message : String(error), cause: error })
}
