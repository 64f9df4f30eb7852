/**
 * The control of a connection: performs the actions of the pure `ServerMachine` as typed Effects.
 *
 * Every event steps the machine and performs its action on the same stack, so that no other event can come between.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { AcceptedQuery, Engine } from "../engine/QueryEngine.ts"
import type * as FramedConnection from "../framing/FramedConnection.ts"
import * as Writer from "../framing/Writer.ts"
import type * as Timers from "../loop/Timers.ts"
import * as Message from "../protocol/Message.ts"
import * as Machine from "../protocol/ServerMachine.ts"
import type { Step } from "./ConnectionEvents.ts"
import { eventOf, inputEnd } from "./InputEvent.ts"
import * as LocalReply from "./LocalReply.ts"
import { type Connection, type Outcome, PendingResponse } from "./PendingResponse.ts"
import type * as QueryLimit from "./QueryLimit.ts"
import * as QueryRunner from "./QueryRunner.ts"
import { type Limits, millis } from "./Settings.ts"
import type { ControlStatistics } from "./Statistics.ts"

/** Why a connection ended. `detail` says it in words. */
export class ControlError extends Schema.TaggedError<ControlError>()("ControlError", {
  reason: Schema.Literals(["read", "write", "run", "init", "protocol", "drain"]),
  detail: Schema.String
}) {
  override get message() {
    return this.detail
  }
}

/** What the control of a connection works with. */
export interface Dependencies {
  readonly framed: FramedConnection.FramedConnection<Message.Message, Message.Message, Message.FrameError>
  readonly engine: Engine
  readonly limit: QueryLimit.Limit
  readonly limits: Limits
  readonly timers: Timers.Timers
  /** Its queries run in it: a child of the connection's. */
  readonly scope: Scope.Scope
  readonly initial: Machine.State
  /** Tells the embedder of a step; `undefined` if nobody listens. */
  readonly publish: ((step: Step) => Effect.Effect<void>) | undefined
}

type Phase = "idle" | "query"

const forked = { startImmediately: true, uninterruptible: true } as const

export class Control implements Connection, QueryRunner.Dependencies {
  readonly writer: Writer.Writer<Message.Message>
  state: Machine.State
  private readonly dependencies: Dependencies
  private readonly deadline: Timers.Deadline
  private phase: Phase = "idle"
  private how: "flush" | "abort" = "abort"
  /** The response that has not been written to its end. */
  private pending: PendingResponse | undefined
  /** The fiber of its query. */
  private query: Fiber.Fiber<unknown, unknown> | undefined
  private settledWaiter: (() => void) | undefined
  /** How the response ended, and the fiber that tells the embedder of it. */
  private lastStep: Step | undefined
  private tell: (() => void) | undefined
  private queryStartedAt = 0
  private queryTimeoutMillis = 0
  private accepts = 0
  private rejects = 0
  private cancels = 0

  constructor(dependencies: Dependencies) {
    this.dependencies = dependencies
    this.writer = dependencies.framed.writer
    this.state = dependencies.initial
    this.deadline = dependencies.timers.deadline(() =>
      this.dispatch({ _tag: this.phase === "idle" ? "IdleExpired" : "QueryExpired" })
    )
    this.expect("idle", dependencies.timers.now() + dependencies.limits.idleTimeoutMillis)
  }

  /** Handles the messages that arrive, until the connection has to be closed. */
  get run(): Effect.Effect<never, ControlError> {
    return Effect.matchCauseEffect(
      Stream.runForEachArray(this.dependencies.framed.messages, (batch) => this.receive(batch, 0)),
      {
        onSuccess: () => this.fail({ _tag: "PeerClosed" }),
        onFailure: (cause) => this.fail(inputEnd(cause))
      }
    )
  }

  private fail(event: Machine.Event): Effect.Effect<never, ControlError> {
    return Effect.suspend(() => {
      this.dispatch(event)
      return Effect.fail(this.error)
    })
  }

  /** Why the connection has ended. */
  get error(): ControlError {
    return this.state._tag === "Closed"
      ? new ControlError({ reason: this.state.reason, detail: this.state.detail })
      : new ControlError({ reason: "run", detail: "The connection broke" })
  }

  private receive(batch: FramedConnection.Batch<Message.Message>, from: number): Effect.Effect<void> {
    for (let at = from; at < batch.length; at++) {
      const message = batch[at] as Message.Message
      if (message.type !== Message.Type.Request) {
        this.dispatch(eventOf(message))
      } else if (this.pending !== undefined && this.state._tag === "Ready") {
        // The response before it has not been written to its end.
        return Effect.andThen(
          this.settled,
          Effect.suspend(() => this.receive(batch, at))
        )
      } else if (at + 1 === batch.length) {
        return this.request(message)
      } else {
        return Effect.andThen(
          this.request(message),
          Effect.suspend(() => this.receive(batch, at + 1))
        )
      }
    }
    return Effect.void
  }

  /** Starts a request's response in a fiber of its own, unless the request is a violation. */
  private request({ body, skipped }: Message.Message): Effect.Effect<unknown> {
    const action = this.step(skipped === undefined ? request : tooLarge)
    if (action._tag !== "StartQuery" && action._tag !== "Refuse") {
      this.perform(action)
      return Effect.void
    }
    const pending = new PendingResponse(this, this.dependencies.limits)
    this.pending = pending
    const response = action._tag === "StartQuery" ? this.runQuery(body, pending) : pending.refuse
    return Effect.forkIn(this.respond(body, response), this.dependencies.scope, forked)
  }

  /** Steps the machine and performs its action, which starts no query. */
  dispatch(event: Machine.Event): void {
    this.perform(this.step(event))
  }

  private step(event: Machine.Event): Machine.Action {
    const [state, action] = Machine.step(this.state, event)
    this.state = state
    return action
  }

  private perform(action: Machine.Action): void {
    switch (action._tag) {
      case "StopQuery":
        this.query?.interruptUnsafe()
        break
      case "Write":
        this.pending?.submit()
        break
      case "Close":
        this.end(action.how)
    }
  }

  private end(how: "flush" | "abort"): void {
    this.how = how
    this.dependencies.framed.stop()
  }

  /** Closes the connection's ends, after the messages that are to be written still. */
  close(exit: Exit.Exit<never, ControlError>): Effect.Effect<void> {
    return Effect.suspend(() => {
      // The control was interrupted, or broke.
      if (this.state._tag !== "Closed") {
        this.dispatch(
          Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
            ? { _tag: "Stopped" }
            : { _tag: "RunFailed", detail: String(Exit.isFailure(exit) ? Cause.squash(exit.cause) : exit) }
        )
      }
      this.deadline.clear()
      // On a stack of its own: the event that ends the connection may be in the middle of a write.
      const written =
        this.how === "flush" ? Effect.andThen(this.settled, this.writer.flushed) : Effect.yieldNow
      return Effect.andThen(
        written,
        Effect.sync(() => {
          if (this.how === "abort") this.writer.close()
          this.pending?.break()
        })
      )
    })
  }

  /** Answers one request. An embedder is told before and after, and the connection waits for that. */
  private respond(body: Uint8Array, response: Effect.Effect<void>): Effect.Effect<void> {
    const { publish } = this.dependencies
    if (publish === undefined) return response
    return Effect.andThen(
      publish({ _tag: "Request", body }),
      Effect.andThen(
        response,
        Effect.flatMap(this.told, (step) => Effect.map(publish(step), () => this.settle()))
      )
    )
  }

  private runQuery(body: Uint8Array, pending: PendingResponse): Effect.Effect<void> {
    return Effect.withFiber((fiber) => {
      const { framed, limits } = this.dependencies
      this.query = fiber
      this.queryStartedAt = framed.lastReadAt()
      this.queryTimeoutMillis = limits.queryTimeoutMillis
      this.expect("query", this.queryStartedAt + this.queryTimeoutMillis)
      return Effect.map(QueryRunner.run(this, body, pending), (outcome) => this.queryEnded(outcome, pending))
    })
  }

  get engine() {
    return this.dependencies.engine
  }
  get limit() {
    return this.dependencies.limit
  }
  get scope() {
    return this.dependencies.scope
  }

  readonly accepted = ({ payload, timeout }: AcceptedQuery): Effect.Effect<void> | undefined => {
    if (timeout !== undefined) this.queryTimeoutMillis = Math.min(this.queryTimeoutMillis, millis(timeout))
    return this.dependencies.publish?.({ _tag: "Accepted", payload })
  }

  /** The query has ended, and its finalizers have run. */
  private queryEnded(outcome: QueryRunner.Outcome, pending: PendingResponse): void {
    this.query = undefined
    switch (outcome._tag) {
      case "InitFailed":
        this.dispatch(outcome)
        return
      case "Interrupted":
        // The engine may have interrupted its own query.
        if (this.isRunning) pending.end(QueryRunner.died(pending))
        break
      default:
        pending.end(outcome)
    }
    if (this.state._tag === "Closed") pending.break()
    else this.dispatch(queryEnded)
  }

  private get isRunning(): boolean {
    return this.state._tag === "Initialising" || this.state._tag === "Responding"
  }

  get isReplying(): boolean {
    return this.state._tag === "Replying"
  }

  take(pending: PendingResponse, now: number): ReadonlyArray<Message.Message> {
    const [state, messages] = Machine.take(
      this.state,
      pending.response,
      this.writer.bytesWritten(),
      LocalReply.body
    )
    if (messages.length === 0) return messages
    const { limits } = this.dependencies
    const hasBegun = messages[0]?.type === Message.Type.Accept
    const isLast = Message.isTerminal((messages.at(-1) as Message.Message).type)
    if (hasBegun) this.accepts++
    if (isLast) this.expect("idle", now + limits.idleTimeoutMillis)
    // Not before the accept: the response would be a reject, which says that nothing was run.
    else if (hasBegun) this.expect("query", this.queryStartedAt + this.queryTimeoutMillis)
    this.state = state
    if (state._tag === "Closed") this.end("flush")
    return messages
  }

  writeFailed(cause: Cause.Cause<Writer.Failure>): void {
    if (Cause.hasInterruptsOnly(cause)) return
    const error = Cause.findErrorOption(cause)
    this.dispatch(
      error._tag === "Some"
        ? { _tag: "WriteFailed", detail: Writer.describe(error.value) }
        : { _tag: "RunFailed", detail: String(Cause.squash(cause)) }
    )
  }

  /** Ends the connection if a fiber of it fails to write. */
  guard(fiber: Effect.Effect<never, Writer.Failure>): Effect.Effect<void> {
    return Effect.catchCause(fiber, (cause) => Effect.sync(() => this.writeFailed(cause)))
  }

  over(pending: PendingResponse, outcome: Outcome): void {
    const step = this.stepOf(outcome, pending)
    if (this.dependencies.publish === undefined) {
      this.settle()
    } else {
      this.lastStep = step
      this.tell?.()
    }
  }

  /** Waits until the response is over. */
  private readonly told: Effect.Effect<Step> = Effect.callback((resume) => {
    this.tell = () => {
      if (this.lastStep === undefined) return
      const step = this.lastStep
      this.lastStep = undefined
      this.tell = undefined
      resume(Effect.succeed(step))
    }
    this.tell()
  })

  /** The connection takes the next request. */
  private settle(): void {
    this.pending = undefined
    const { settledWaiter } = this
    this.settledWaiter = undefined
    settledWaiter?.()
  }

  private stepOf(outcome: Outcome, pending: PendingResponse): Step {
    if (outcome._tag === "Broken") {
      const isWriteFailure =
        outcome.isWriteFailure || (this.state._tag === "Closed" && this.state.reason === "write")
      return { _tag: "Aborted", query: pending.statistics(isWriteFailure ? "fail" : "abort") }
    }
    const { body, type } = outcome.terminal
    switch (type) {
      case Message.Type.Reject:
        this.rejects++
        return { _tag: "Rejected", payload: body }
      case Message.Type.Error:
        return { _tag: "Failed", payload: body, query: pending.statistics("error") }
      case Message.Type.CancelAcknowledged:
        this.cancels++
        return { _tag: "Cancelled", query: pending.statistics("cancel") }
      default:
        return { _tag: "Completed", query: pending.statistics("complete") }
    }
  }

  /** Waits until no response is under way. */
  private readonly settled: Effect.Effect<void> = Effect.callback((resume) => {
    if (this.pending === undefined) return resume(Effect.void)
    if (this.settledWaiter !== undefined) throw new Error("A connection settles for one waiter at a time")
    this.settledWaiter = () => resume(Effect.void)
    return Effect.sync(() => {
      this.settledWaiter = undefined
    })
  })

  private expect(phase: Phase, at: number): void {
    this.phase = phase
    this.deadline.set(at)
  }

  /** The server is stopping: an idle connection closes, a responding one after its response. */
  readonly drain: Effect.Effect<void> = Effect.sync(() => this.dispatch({ _tag: "Drain" }))

  /** The server waits no longer: a running query is ended with an error. */
  readonly drainExpired: Effect.Effect<void> = Effect.sync(() => this.dispatch({ _tag: "DrainExpired" }))

  statistics(): ControlStatistics {
    const { framed } = this.dependencies
    return {
      bytesRead: framed.bytesRead(),
      bytesWritten: this.writer.bytesWritten(),
      messagesRead: framed.messagesRead(),
      messagesWritten: this.writer.messagesWritten(),
      accepted: this.accepts,
      rejected: this.rejects,
      cancelled: this.cancels,
      reason: this.error.reason
    }
  }
}

const request: Machine.Event = { _tag: "Request" }
const tooLarge: Machine.Event = { _tag: "TooLarge" }
const queryEnded: Machine.Event = { _tag: "QueryEnded" }
