/**
 * The responses of a connection: the engine's, and those that the server gives on its own account.
 *
 * A response begins when the one before it has ended. The order on the wire is that in which the messages
 * begin to be written, so the machine hears of accepts and terminal messages right before their first byte.
 */
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { QueryInitError } from "../engine/QueryEngine.ts"
import * as Frame from "../wire/Frame.ts"
import * as FrameWriter from "../wire/FrameWriter.ts"
import * as Answer from "./Answer.ts"
import type { ConnectionEvent } from "./ConnectionEvents.ts"
import type * as Control from "./Control.ts"
import type { Deadline } from "./Heartbeat.ts"
import * as QueryDriver from "./QueryDriver.ts"
import { exceeded } from "./RequestQuota.ts"
import * as ServerAnswer from "./ServerAnswer.ts"
import { type Limits, millis } from "./Settings.ts"
import type { ControlStatistics, QueryDriverReason, QueryDriverStatistics } from "./Statistics.ts"
import { Turns } from "./Turns.ts"

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
  /** Runs an effect in a fiber of the connection, which starts at once and sees this scope, or the connection's. */
  readonly fork: QueryDriver.Host["fork"]
  /** Runs an effect to its end, also while the connection ends. */
  readonly finish: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  readonly publish: (event: Told) => Effect.Effect<void>
  /** Milliseconds of the Clock. */
  readonly now: () => number
  /** Sets when a deadline is over, in milliseconds of the Clock; `Infinity` takes it back. */
  readonly setDeadline: (deadline: Deadline, at: number) => void
  readonly writeFailed: (error: FrameWriter.Failure) => void
}

const acceptBegun: Control.Event = { _tag: "AcceptBegun" }
const terminalBegun: Control.Event = { _tag: "TerminalBegun" }

/** What a connection's responses work with. */
export interface Parts {
  readonly engine: QueryDriver.Host["engine"]
  readonly limit: QueryDriver.Host["limit"]
  readonly quota: QueryDriver.Host["quota"]
  /** The setting that keeps this connection out, if one does. */
  readonly refusedBy: string | undefined
  readonly writer: FrameWriter.FrameWriter
  readonly limits: Limits
}

export class Responses implements QueryDriver.Host, ServerAnswer.Host {
  readonly engine: Parts["engine"]
  readonly limit: Parts["limit"]
  readonly quota: Parts["quota"]
  readonly writer: FrameWriter.FrameWriter
  readonly limits: Limits
  private readonly host: Host
  private readonly refusedBy: Parts["refusedBy"]
  private readonly turns = new Turns()
  private query: QueryDriver.QueryDriver | undefined
  private accepts = 0
  private rejects = 0
  private cancels = 0
  // Of the query that started last: the one before it has begun the last message of its response.
  private startedAt = 0
  private timeoutMillis = 0

  constructor(host: Host, { engine, limit, limits, quota, refusedBy, writer }: Parts) {
    this.host = host
    this.engine = engine
    this.limit = limit
    this.quota = quota
    this.refusedBy = refusedBy
    this.writer = writer
    this.limits = limits
  }

  /** Gives a request to the engine, and writes the response. */
  startQuery(body: Uint8Array): void {
    this.startedAt = this.host.now()
    this.timeoutMillis = this.limits.queryTimeoutMillis
    this.host.setDeadline("query", this.startedAt + this.timeoutMillis)
    const query = QueryDriver.make(this, body)
    this.query = query
    this.turns.add(query)
    if (!query.hold()) this.host.dispatch({ _tag: "ReadFailed", detail: exceeded(this.quota) })
  }

  /** Interrupts the query. The machine hears of it when the query's finalizers have run. */
  stopQuery(): void {
    this.query?.stop()
  }

  /**
   * Writes the answer that the machine has decided on by the time the write has its turn. `request` is the
   * body of a request for which no query was started.
   */
  answer(request: Uint8Array | undefined): void {
    this.turns.add(ServerAnswer.make(this, request, request === undefined ? this.query : undefined))
  }

  /** The connection has ended: what has not been written will not be. */
  abandon(): void {
    this.turns.abandon()
  }

  /** Waits for the end of the responses under way. */
  get settled(): Effect.Effect<void> {
    return this.turns.settled
  }

  statistics(): Pick<ControlStatistics, "accepted" | "rejected" | "cancelled"> {
    return { accepted: this.accepts, rejected: this.rejects, cancelled: this.cancels }
  }

  fork<E>(
    effect: Effect.Effect<void, E, Scope.Scope>,
    scope?: Scope.Scope
  ): Fiber.Fiber<void, E> | undefined {
    return this.host.fork(effect, scope)
  }

  finish(effect: Effect.Effect<void>): Fiber.Fiber<void> {
    return this.host.finish(effect)
  }

  writeFailed(error: FrameWriter.Failure): void {
    this.host.writeFailed(error)
  }

  get isOpen(): boolean {
    return this.host.state._tag !== "Closed"
  }

  announce(request: Uint8Array, then: () => void): void {
    const published = this.host.publish({ _tag: "Request", body: request })
    if (published === Effect.void) then()
    // The end of the connection waits for the events that it brings, but for no other.
    else (this.host.fork(published) ?? this.host.finish(published)).addObserver(then)
  }

  accepted(payload: Uint8Array, timeout: Duration.Input | undefined): Effect.Effect<void> {
    if (timeout !== undefined) this.timeoutMillis = Math.min(this.timeoutMillis, millis(timeout))
    return this.host.publish({ _tag: "Accepted", payload })
  }

  acceptBegun(): void {
    this.accepts++
    this.host.dispatch(acceptBegun)
    // Not before: the response would be a reject, and that says that nothing was run.
    this.host.setDeadline("query", this.startedAt + this.timeoutMillis)
  }

  terminalBegun(now: number): void {
    this.host.setDeadline("idle", now + this.limits.idleTimeoutMillis)
    this.host.dispatch(terminalBegun)
  }

  died(cause: Cause.Cause<unknown>): Uint8Array {
    if (!Cause.hasInterruptsOnly(cause)) {
      this.host.finish(Effect.logError("The engine died while streaming a result", cause))
    }
    return Answer.body("internal")
  }

  queryEnded(driver: QueryDriver.QueryDriver, outcome: QueryDriver.Outcome): void {
    switch (outcome._tag) {
      case "Complete":
        this.tell({ _tag: "Completed", query: driver.statistics("complete") }, this.over)
        break
      case "Failed": {
        const { payload } = outcome
        this.tell({ _tag: "Failed", payload, query: driver.statistics("error") }, this.over)
        break
      }
      case "Rejected":
        this.rejects++
        this.tell({ _tag: "Rejected", payload: outcome.payload }, this.over)
        break
      case "Stopped":
        this.stopped(driver)
        break
      case "Broken":
        this.failed(driver, outcome.cause)
    }
    // An idle connection keeps nothing of its last query alive.
    if (this.query === driver) this.query = undefined
  }

  /** A query was stopped, for an answer of the server or because the connection ended at the same time. */
  private stopped(driver: QueryDriver.QueryDriver): void {
    if (this.host.state._tag === "Stopping") {
      this.host.dispatch({ _tag: "QueryStopped" })
      this.over()
    } else {
      this.failed(driver, Cause.interrupt())
    }
  }

  get nextAnswer(): Frame.Frame | undefined {
    const { state } = this.host
    return state._tag === "Stopping" ? Answer.frame(state.answer, this.refusedBy) : undefined
  }

  answered(query: QueryDriver.QueryDriver | undefined, { body, type }: Frame.Frame): void {
    switch (type) {
      case Frame.Type.Reject:
        this.rejects++
        this.tell({ _tag: "Rejected", payload: body }, this.over)
        break
      case Frame.Type.Error:
        this.tell({ _tag: "Failed", payload: body, query: statistics(query, "error") }, this.over)
        break
      default:
        this.cancels++
        this.tell({ _tag: "Cancelled", query: statistics(query, "cancel") }, this.over)
    }
  }

  /** The response has not been written to its end, and the connection ends for it, or has ended already. */
  failed(
    query: QueryDriver.QueryDriver | undefined,
    cause: Cause.Cause<QueryInitError | FrameWriter.Failure>
  ): void {
    const event = failure(cause)
    if (event !== undefined) this.host.dispatch(event)
    const state = this.host.state
    // The connection may have been closing anyway when the last write of its response failed.
    const written = event?._tag !== "WriteFailed" && !(state._tag === "Closed" && state.reason === "write")
    this.tell({ _tag: "Aborted", query: statistics(query, written ? "abort" : "fail") }, this.over)
  }

  private readonly over = (): void => this.turns.over()

  /** Publishes an event, and goes on when that is done: at once if nobody listens. */
  private tell(event: Told, then: () => void): void {
    const published = this.host.publish(event)
    if (published === Effect.void) then()
    else this.host.finish(published).addObserver(then)
  }
}

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
