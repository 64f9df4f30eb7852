/**
 * The responses of a connection, each in a fiber of its own, one after the other.
 *
 * A response begins when the one before it has ended. The order on the wire is that in which the messages
 * begin to be written, so the machine hears of accepts and terminal messages right before their first byte.
 */
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type { QueryInitError } from "../engine/QueryEngine.ts"
import * as Frame from "../wire/Frame.ts"
import * as FrameWriter from "../wire/FrameWriter.ts"
import * as Answer from "./Answer.ts"
import type { ConnectionEvent } from "./ConnectionEvents.ts"
import type * as Control from "./Control.ts"
import type { Deadline } from "./Heartbeat.ts"
import * as QueryDriver from "./QueryDriver.ts"
import { first } from "./QueryDriver.ts"
import type { End } from "./ResponseBuffer.ts"
import { millis, type Settings } from "./Settings.ts"
import type { ControlStatistics, QueryDriverReason, QueryDriverStatistics } from "./Statistics.ts"

/** An event without the connection that it is about. */
export type Told = ConnectionEvent extends infer E
  ? E extends unknown
    ? Omit<E, "connection">
    : never
  : never

/** The connection that the responses belong to. */
export interface Host {
  readonly state: Control.State
  readonly dispatch: (event: Control.Event) => void
  /** Runs an effect in a fiber of the connection, which starts at once. It sees this scope, or the connection's. */
  readonly fork: (effect: Effect.Effect<unknown, unknown, Scope.Scope>, scope?: Scope.Scope) => void
  readonly publish: (event: Told) => Effect.Effect<void>
  /** Milliseconds of the Clock. */
  readonly now: () => number
  /** Sets when a deadline is over, in milliseconds of the Clock; `Infinity` takes it back. */
  readonly setDeadline: (deadline: Deadline, at: number) => void
  readonly writeFailed: (error: FrameWriter.Failure) => void
}

interface Turn<A, E> {
  /** The body of a request that nobody has been told of yet. */
  readonly request: Uint8Array | undefined
  readonly response: Effect.Effect<A, E, Scope.Scope>
  readonly scope?: Scope.Scope
  readonly onExit: (exit: Exit.Exit<A, E>) => Effect.Effect<void>
}

// The answer is one small frame, and the client waits for it.
const urgent = { urgent: true }

export class Responses implements QueryDriver.Host {
  readonly engine: QueryDriver.Host["engine"]
  readonly writer: FrameWriter.FrameWriter
  readonly settings: Settings
  private readonly host: Host
  private query: QueryDriver.QueryDriver | undefined
  private last: Fiber.Fiber<unknown, unknown> | undefined
  private accepts = 0
  private rejects = 0
  private cancels = 0
  // Of the query that started last: the one before it has begun the last message of its response.
  private startedAt = 0
  private timeoutMillis = 0

  constructor(
    host: Host,
    engine: QueryDriver.Host["engine"],
    writer: FrameWriter.FrameWriter,
    settings: Settings
  ) {
    this.host = host
    this.engine = engine
    this.writer = writer
    this.settings = settings
  }

  /** Gives a request to the engine, and writes the response. */
  startQuery(body: Uint8Array): void {
    this.startedAt = this.host.now()
    this.timeoutMillis = millis(this.settings.queryTimeout)
    this.host.setDeadline("idle", Number.POSITIVE_INFINITY)
    this.host.setDeadline("query", this.startedAt + this.timeoutMillis)
    const scope = Scope.makeUnsafe()
    const driver = QueryDriver.make(this, body, scope)
    this.query = driver
    this.fork({
      request: body,
      response: driver.run,
      scope,
      onExit: (exit) => this.queryEnded(driver, exit)
    })
  }

  accepted(payload: Uint8Array, timeout: Duration.Input | undefined): Effect.Effect<void> {
    if (timeout !== undefined) this.timeoutMillis = Math.min(this.timeoutMillis, millis(timeout))
    return this.publish({ _tag: "Accepted", payload })
  }

  acceptBegun(): void {
    this.accepts++
    this.host.dispatch({ _tag: "AcceptBegun" })
    // Not before: the response would be a reject, and that says that nothing was run.
    this.host.setDeadline("query", this.startedAt + this.timeoutMillis)
  }

  writeFailed(error: FrameWriter.Failure): void {
    this.host.writeFailed(error)
  }

  internalError(): Uint8Array {
    return Answer.body("internal")
  }

  /** Interrupts the query. The machine hears of it when the query's finalizers have run. */
  stopQuery(): void {
    this.query?.mute()
    this.last?.interruptUnsafe()
  }

  /**
   * Writes the answer that the machine has decided on by the time the write has its turn. `request` is the
   * body of a request for which no query was started.
   */
  answer(request: Uint8Array | undefined): void {
    const query = request === undefined ? this.query : undefined
    let answered: Frame.Frame | undefined
    const write = this.writer.write(() => {
      const state = this.host.state
      if (state._tag !== "Stopping") return []
      answered = Answer.frame(state.answer)
      this.terminalBegun()
      return [answered]
    }, urgent)
    this.fork({
      request,
      response: write,
      onExit: (exit) =>
        Exit.isSuccess(exit) && answered !== undefined
          ? this.answered(query, answered)
          : this.failed(query, exit)
    })
  }

  /** Waits for the end of the response under way. */
  get settled(): Effect.Effect<void> {
    return Effect.suspend(() => (isOver(this.last) ? Effect.void : Effect.asVoid(Fiber.await(this.last))))
  }

  statistics(): Pick<ControlStatistics, "accepted" | "rejected" | "cancelled"> {
    return { accepted: this.accepts, rejected: this.rejects, cancelled: this.cancels }
  }

  /**
   * Runs a response in a fiber of its own. Its turn comes when the one before it has ended: that has begun its
   * last message, but the socket may not have taken all of it yet. The request is made known before that.
   */
  private fork<A, E>({ onExit, request, response, scope }: Turn<A, E>): void {
    const before = this.last
    const inTurn = isOver(before)
      ? response
      : // The response before may have ended because the connection did.
        Effect.andThen(
          Fiber.await(before),
          Effect.suspend(() => (this.isClosed ? Effect.interrupt : response))
        )
    const told = request === undefined ? Effect.void : this.publish({ _tag: "Request", body: request })
    this.host.fork(
      Effect.withFiber((fiber) => {
        this.last = fiber
        return Effect.onExit(first(told, inTurn), onExit)
      }),
      scope
    )
  }

  private get isClosed(): boolean {
    return this.host.state._tag === "Closed"
  }

  terminalBegun(): void {
    this.host.setDeadline("query", Number.POSITIVE_INFINITY)
    this.host.setDeadline("idle", this.host.now() + millis(this.settings.idleTimeout))
    this.host.dispatch({ _tag: "TerminalBegun" })
  }

  private queryEnded(
    driver: QueryDriver.QueryDriver,
    exit: Exit.Exit<End, QueryInitError | FrameWriter.Failure>
  ): Effect.Effect<void> {
    if (Exit.isSuccess(exit)) return this.responded(driver, exit.value)
    driver.mute()
    const stopped = this.host.state._tag === "Stopping" && this.query === driver
    if (!stopped) return this.failed(driver, exit)
    this.host.dispatch({ _tag: "QueryStopped" })
    return Effect.void
  }

  private responded(driver: QueryDriver.QueryDriver, end: End): Effect.Effect<void> {
    switch (end._tag) {
      case "Complete":
        return this.publish({ _tag: "Completed", query: driver.statistics("complete") })
      case "Failed":
        return this.publish({ _tag: "Failed", payload: end.payload, query: driver.statistics("error") })
      case "Rejected":
        this.rejects++
        return this.publish({ _tag: "Rejected", payload: end.payload })
    }
  }

  private answered(query: QueryDriver.QueryDriver | undefined, frame: Frame.Frame): Effect.Effect<void> {
    switch (frame.type) {
      case Frame.Type.Reject:
        this.rejects++
        return this.publish({ _tag: "Rejected", payload: frame.body })
      case Frame.Type.Error:
        return this.publish({ _tag: "Failed", payload: frame.body, query: statistics(query, "error") })
      default:
        this.cancels++
        return this.publish({ _tag: "Cancelled", query: statistics(query, "cancel") })
    }
  }

  /** The response has not been written to its end, and the connection ends for it, or has ended already. */
  private failed(
    query: QueryDriver.QueryDriver | undefined,
    exit: Exit.Exit<unknown, QueryInitError | FrameWriter.Failure>
  ): Effect.Effect<void> {
    const event = Exit.isFailure(exit) ? failure(exit.cause) : undefined
    if (event !== undefined) this.host.dispatch(event)
    const state = this.host.state
    // The connection may have been closing anyway when the last write of its response failed.
    const written = event?._tag !== "WriteFailed" && !(state._tag === "Closed" && state.reason === "write")
    const reason = written ? "abort" : "fail"
    return this.publish({ _tag: "Aborted", query: statistics(query, reason) })
  }

  private publish(event: Told): Effect.Effect<void> {
    return this.host.publish(event)
  }
}

const isOver = (fiber: Fiber.Fiber<unknown, unknown> | undefined): fiber is undefined =>
  fiber === undefined || fiber.pollUnsafe() !== undefined

const statistics = (
  query: QueryDriver.QueryDriver | undefined,
  reason: QueryDriverReason
): QueryDriverStatistics =>
  query?.statistics(reason) ?? {
    bytesTransferred: 0,
    payloadBytesTransferred: 0,
    messages: 0,
    runs: 0,
    reason
  }

/** What the failure of a response means for the connection: nothing if it was interrupted. */
const failure = (cause: Cause.Cause<QueryInitError | FrameWriter.Failure>): Control.Event | undefined => {
  if (Cause.hasInterruptsOnly(cause)) return undefined
  const error = Cause.findErrorOption(cause)
  if (error._tag === "None") return { _tag: "RunFailed", detail: String(Cause.squash(cause)) }
  return error.value._tag === "QueryInitError"
    ? { _tag: "InitFailed", detail: error.value.message }
    : writeFailed(error.value)
}

const writeFailed = (error: FrameWriter.Failure): Control.Event => ({
  _tag: "WriteFailed",
  detail: FrameWriter.describe(error)
})
