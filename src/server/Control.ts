/**
 * The control of a connection: performs the actions of the pure `ServerMachine` as typed Effects.
 *
 * Every event steps the machine and performs its action on one stack, without other events in between.
 */
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { AcceptedQuery, Engine } from "../engine/QueryEngine.ts"
import type * as FramedConnection from "../framing/FramedConnection.ts"
import type * as Writer from "../framing/Writer.ts"
import type * as Timers from "../loop/Timers.ts"
import * as Message from "../protocol/Message.ts"
import * as Machine from "../protocol/ServerMachine.ts"
import type { Step } from "./ConnectionEvents.ts"
import * as ControlEvents from "./ControlEvents.ts"
import type { Culprit } from "./Culprit.ts"
import * as LocalReply from "./LocalReply.ts"
import { type Connection, type Outcome, PendingResponse } from "./PendingResponse.ts"
import type * as QueryLimit from "./QueryLimit.ts"
import * as QueryRunner from "./QueryRunner.ts"
import * as RequestQuota from "./RequestQuota.ts"
import { Responses } from "./Responses.ts"
import type * as RunningQueries from "./RunningQueries.ts"
import { type Limits, millis } from "./Settings.ts"
import type { ControlStatistics } from "./Statistics.ts"

/** The reason why a connection ended. `detail` is its text. */
export class ControlError extends Schema.TaggedError<ControlError>()("ControlError", {
  reason: Schema.Literals(["read", "write", "run", "init", "protocol", "drain"]),
  detail: Schema.String
}) {
  override get message() {
    return this.detail
  }
}

/** Dependencies of a connection's control. */
export interface Dependencies {
  readonly framed: FramedConnection.FramedConnection<Message.Message, Message.Message, Message.FrameError>
  readonly engine: Engine
  readonly limit: QueryLimit.Places
  readonly running: RunningQueries.Registry
  /** The memory of waiting requests. */
  readonly quota: RequestQuota.Quota
  /** The setting that keeps a refused connection out. */
  readonly refusedBy: string | undefined
  readonly limits: Limits
  readonly timers: Timers.Timers
  /** The scope of the connection. */
  readonly connection: Scope.Scope
  readonly initial: Machine.State
  /** Notifies the embedder of a step; `undefined` without a listener. */
  readonly publish: ((step: Step) => Effect.Effect<void>) | undefined
  readonly culprit: Culprit
}

type Phase = "idle" | "query"

export class Control implements Connection, QueryRunner.Dependencies {
  readonly writer: Writer.Writer<Message.Message>
  state: Machine.State
  private readonly dependencies: Dependencies
  private readonly deadline: Timers.Deadline
  private phase: Phase = "idle"
  private how: "flush" | "abort" = "abort"
  private readonly responses: Responses
  /** The fiber of the query. */
  private query: Fiber.Fiber<unknown, unknown> | undefined
  private queryStartedAt = 0
  private queryTimeoutMillis = 0
  private accepts = 0
  private queries: Scope.Scope | undefined
  private defect: Cause.Cause<unknown> | undefined

  constructor(dependencies: Dependencies) {
    this.dependencies = dependencies
    this.writer = dependencies.framed.writer
    this.responses = new Responses(this)
    this.state = dependencies.initial
    const { firstRequestTimeoutMillis, idleTimeoutMillis } = dependencies.limits
    this.deadline = dependencies.timers.deadline(() => this.dispatch(this.expired))
    this.expect("idle", dependencies.timers.now() + Math.min(firstRequestTimeoutMillis, idleTimeoutMillis))
  }

  /** Handles messages until the connection must close. */
  get run(): Effect.Effect<never, ControlError> {
    return Effect.catchCause(
      Effect.suspend(() => this.receiving),
      (cause) => this.fail(this.unwritten ?? ControlEvents.ofInput(cause, this.dependencies.quota))
    )
  }

  /** Pulls the messages in the connection's own scope: running the stream would create another scope. */
  private get receiving(): Effect.Effect<never, ControlEvents.InputEnd> {
    const { connection, framed } = this.dependencies
    return Effect.flatMap(Channel.toPullScoped(Stream.toChannel(framed.messages), connection), (pull) => {
      const next: Effect.Effect<never, ControlEvents.InputEnd> = Effect.flatMap(pull, (batch) =>
        Effect.andThen(this.receive(batch, 0), next)
      )
      return next
    })
  }

  /** The failed write, which ends the input too, and is then the reason. */
  private get unwritten(): Machine.Event | undefined {
    const failure = this.writer.failure()
    return failure === undefined ? undefined : ControlEvents.ofWrite(failure)
  }

  private fail(event: Machine.Event): Effect.Effect<never, ControlError> {
    return Effect.suspend(() => {
      this.dispatch(event)
      return Effect.andThen(this.how === "flush" ? this.lastWords : Effect.void, Effect.fail(this.error))
    })
  }

  /** Writes the pending messages, and then the goodbye. */
  private get lastWords(): Effect.Effect<void> {
    return Effect.andThen(this.responses.settled, Effect.andThen(this.goodbye, this.writer.flushed))
  }

  /** Answers a request that may still arrive, since no later one is started. */
  private get goodbye(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { state } = this
      if (state._tag !== "Closed" || state.goAway === undefined) return Effect.void
      const { detail, goAway, reason } = state
      const body = reason === "drain" ? this.replyBody(goAway, true) : LocalReply.idle(goAway, detail)
      return Effect.ignore(this.writer.write(() => [Message.make(Message.Type.Reject, body)]))
    })
  }

  /** The reason why the connection has ended. */
  get error(): ControlError {
    return this.state._tag === "Closed"
      ? new ControlError({ reason: this.state.reason, detail: this.state.detail })
      : new ControlError({ reason: "run", detail: "The connection broke" })
  }

  private receive(batch: FramedConnection.Batch<Message.Message>, from: number): Effect.Effect<void> {
    for (let at = from; at < batch.length; at++) {
      const message = batch[at] as Message.Message
      if (message.type === Message.Type.Request) {
        const begun = this.request(message)
        return at + 1 === batch.length
          ? begun
          : Effect.andThen(
              begun,
              Effect.suspend(() => this.receive(batch, at + 1))
            )
      }
      this.dispatch(ControlEvents.ofMessage(message))
    }
    return Effect.void
  }

  /** Starts a request's response in a fiber of its own, unless the request is a violation. */
  private request(message: Message.Message): Effect.Effect<unknown> {
    const action = this.step(ControlEvents.ofMessage(message))
    if (action._tag !== "StartQuery" && action._tag !== "Refuse") {
      this.perform(action)
      return Effect.void
    }
    const { body } = message
    const pending = new PendingResponse(this, this.dependencies.limits)
    if (!this.responses.mayBegin(body)) {
      this.dispatch({ _tag: "ReadFailed", detail: RequestQuota.exceeded(this.dependencies.quota) })
      return Effect.void
    }
    const response =
      action._tag === "StartQuery"
        ? this.stoppable(this.responses.begin(body, pending, QueryRunner.run(this, body, pending)))
        : this.responses.begin(body, pending, pending.refuse)
    return this.responses.fork(response)
  }

  /** Steps the machine and performs its action, which never starts a query. */
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
        this.responses.pending?.submit()
        break
      case "Close":
        this.end(action.how)
    }
  }

  private end(how: "flush" | "abort"): void {
    this.how = how
    this.query?.interruptUnsafe()
    this.responses.stop()
    this.dependencies.framed.stop()
  }

  /** Ends the current response, and drops the socket unless everything has been written. */
  close(cause: Cause.Cause<ControlError>): Effect.Effect<void> {
    const isStopped = Cause.hasInterruptsOnly(cause)
    // On a stack of its own: the event that ends the connection may be in the middle of a write.
    return Effect.andThen(
      Effect.yieldNow,
      Effect.suspend(() => {
        // The control was interrupted or failed.
        if (this.state._tag !== "Closed") this.dispatch(ControlEvents.ofEnd(cause))
        this.deadline.clear()
        if (isStopped || this.how === "abort") this.writer.close()
        this.responses.pending?.break()
        return this.defect === undefined ? Effect.void : Effect.logError("A response broke", this.defect)
      })
    )
  }

  /** Makes this response's query stoppable. Its time counts from the arrival of the request. */
  private stoppable(response: Effect.Effect<void>): Effect.Effect<void> {
    return Effect.withFiber((fiber) => {
      const { framed, limits } = this.dependencies
      this.query = fiber
      this.dependencies.culprit.work = "query"
      this.queryStartedAt = framed.lastReadAt()
      this.queryTimeoutMillis = limits.queryTimeoutMillis
      this.expect("query", this.queryStartedAt + this.queryTimeoutMillis)
      return response
    })
  }

  finalizing(): void {
    this.dependencies.culprit.work = "finalizer"
  }

  get engine() {
    return this.dependencies.engine
  }
  get limit() {
    return this.dependencies.limit
  }
  get running() {
    return this.dependencies.running
  }
  get quota() {
    return this.dependencies.quota
  }
  get timers() {
    return this.dependencies.timers
  }
  now(): number {
    return this.dependencies.timers.now()
  }
  lastReadAt(): number {
    return this.dependencies.framed.lastReadAt()
  }
  get queueTimeoutMillis() {
    return this.dependencies.limits.queueTimeoutMillis
  }
  get stallMillis() {
    return this.dependencies.limits.stallMillis
  }
  get publish() {
    return this.dependencies.publish
  }
  /** The scope of queries, a child of the connection's, made for the first query. */
  get scope() {
    this.queries ??= Scope.forkUnsafe(this.dependencies.connection)
    return this.queries
  }

  accepted({ payload, timeout }: AcceptedQuery): Effect.Effect<void> | undefined {
    if (timeout !== undefined) this.queryTimeoutMillis = Math.min(this.queryTimeoutMillis, millis(timeout))
    return this.dependencies.publish?.({ _tag: "Accepted", payload })
  }

  mayCommit(): boolean {
    this.dispatch({ _tag: "CommitBegun" })
    return this.state._tag === "Committing"
  }

  /** The query has ended, and its finalizers have run. */
  ended(outcome: QueryRunner.Outcome, pending: PendingResponse): void {
    this.query = undefined
    this.dependencies.culprit.work = undefined
    switch (outcome._tag) {
      case "InitFailed":
        this.dispatch(outcome)
        return
      case "Interrupted":
        break
      default:
        pending.end(outcome)
    }
    if (this.state._tag === "Closed") pending.break()
    else this.dispatch({ _tag: "QueryEnded" })
  }

  get isRunning(): boolean {
    return this.state._tag === "Initialising" || this.state._tag === "Responding"
  }

  /** Whether a request would be valid now. */
  get takesRequest(): boolean {
    return this.state._tag === "Ready"
  }

  get isReplying(): boolean {
    return this.state._tag === "Replying"
  }

  hasMore({ response }: PendingResponse): boolean {
    return Machine.hasMore(this.state, response)
  }

  take(pending: PendingResponse, now: number): ReadonlyArray<Message.Message> {
    const [state, messages] = Machine.take(
      this.state,
      pending.response,
      this.writer.bytesWritten(),
      (code, closing) => this.replyBody(code, closing)
    )
    if (messages.length === 0) return messages
    const { limits } = this.dependencies
    const hasBegun = messages[0]?.type === Message.Type.Accept
    const isLast = Message.isTerminal((messages.at(-1) as Message.Message).type)
    if (hasBegun) this.accepts++
    if (isLast) this.expect("idle", now + limits.idleTimeoutMillis)
    // Not before the accept: the response would be a reject, which means that no query ran.
    else if (hasBegun) this.expect("query", this.queryStartedAt + this.queryTimeoutMillis)
    this.state = state
    if (state._tag === "Closed") this.end("flush")
    return messages
  }

  private replyBody(code: Machine.LocalCode, closing: boolean): Uint8Array {
    const { refusedBy } = this.dependencies
    return code === "overloaded" && refusedBy !== undefined
      ? LocalReply.refusal(refusedBy)
      : LocalReply.body(code, closing)
  }

  writeFailed(cause: Cause.Cause<Writer.Failure>): void {
    const event = ControlEvents.ofWrite(cause)
    if (event?._tag === "RunFailed") this.defect ??= cause
    if (event !== undefined) this.dispatch(event)
  }

  over(pending: PendingResponse, outcome: Outcome): void {
    const isWriteFailure = this.state._tag === "Closed" && this.state.reason === "write"
    this.responses.over(pending, outcome, isWriteFailure)
  }

  /** Until the first request has arrived, the earlier of two limits applies. */
  private get expired(): Machine.Event {
    if (this.phase === "query") return { _tag: "QueryExpired" }
    const { framed, limits } = this.dependencies
    const isFirst = framed.messagesRead() === 0 && limits.firstRequestTimeoutMillis < limits.idleTimeoutMillis
    return { _tag: "IdleExpired", setting: isFirst ? "firstRequestTimeout" : undefined }
  }

  private expect(phase: Phase, at: number): void {
    this.phase = phase
    this.deadline.set(at)
  }

  /** The server is stopping: an idle connection closes, a responding one after its response. */
  get drain(): Effect.Effect<void> {
    return Effect.sync(() => this.dispatch({ _tag: "Drain" }))
  }

  /** The drain timeout has passed: a running query ends with an error. */
  get drainExpired(): Effect.Effect<void> {
    return Effect.sync(() => this.dispatch({ _tag: "DrainExpired" }))
  }

  statistics(): ControlStatistics {
    const { framed } = this.dependencies
    return {
      bytesRead: framed.bytesRead(),
      bytesWritten: this.writer.bytesWritten(),
      messagesRead: framed.messagesRead(),
      messagesWritten: this.writer.messagesWritten(),
      accepted: this.accepts,
      ...this.responses.statistics(),
      reason: this.error.reason
    }
  }
}
