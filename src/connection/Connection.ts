/**
 * One connection: a scope that owns the transport, the heartbeat and at most one query.
 *
 * Each frame that arrives steps the pure machine of `Control`, whose action is performed at once. Closing the
 * scope ends all of it.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import { QueryEngine } from "../engine/QueryEngine.ts"
import * as Frame from "../wire/Frame.ts"
import * as FrameSocket from "../wire/FrameSocket.ts"
import * as FrameWriter from "../wire/FrameWriter.ts"
import type * as Transport from "../wire/Transport.ts"
import { type ConnectionEvent, ConnectionEvents, type ConnectionInfo, unheard } from "./ConnectionEvents.ts"
import * as Control from "./Control.ts"
import * as Heartbeat from "./Heartbeat.ts"
import { type Places, QueryLimit } from "./QueryLimit.ts"
import * as RequestQuota from "./RequestQuota.ts"
import { type Host, Responses, type Told } from "./Responses.ts"
import { limits, type Settings } from "./Settings.ts"
import type { ControlStatistics, HeartbeatStatistics } from "./Statistics.ts"

export interface Options {
  /** Asked for once, when somebody is told of the connection. */
  readonly info: () => ConnectionInfo
  readonly settings: Settings
  /** Answers the first request with a reject of this code, and closes. */
  readonly refusing?: Control.ServerCode | undefined
  /** The places that its queries take; those of the context where it is left out. */
  readonly queries?: Places | undefined
  /** The setting that this reject names, where one is the cause. */
  readonly refusedBy?: string | undefined
}

export interface Connection {
  /**
   * Serves the connection until it ends, for whatever reason; the statistics say which. Never fails.
   * Interruption aborts the running query and drops the socket.
   */
  readonly run: Effect.Effect<ControlStatistics, never, QueryEngine>
  /** The server is stopping: an idle connection closes, a responding one after its response. */
  readonly drain: Effect.Effect<void>
  /** The server waits no longer: a running query is ended with an error. */
  readonly drainExpired: Effect.Effect<void>
}

/** Constructs the connection over a transport; nothing happens before `run`. */
export const make = (transport: Transport.Open, options: Options): Connection =>
  new Session(transport, options)

/** What a session has while its transport is open. */
interface Open {
  readonly scope: Scope.Scope
  readonly clock: Clock.Clock
  readonly transport: Transport.Transport
  readonly frames: FrameSocket.FrameSocket
  readonly heartbeat: Heartbeat.Heartbeat
  readonly responses: Responses
  readonly quota: RequestQuota.Quota
  /** The memory of a frame that has begun to arrive. */
  readonly unfinished: RequestQuota.Hold
}

class Session implements Connection, FrameSocket.Reader, Heartbeat.Listener, Host {
  private readonly transport: Transport.Open
  private readonly options: Options
  state: Control.State
  /** The server's, and that of all its connections. */
  private context = Context.empty()
  private open: Open | undefined
  private publisher: ((event: ConnectionEvent) => Effect.Effect<void>) | undefined
  private info: ConnectionInfo | undefined
  private flush = false
  private wake: (() => void) | undefined

  constructor(transport: Transport.Open, options: Options) {
    this.transport = transport
    this.options = options
    this.state = options.refusing === undefined ? Control.initial : Control.refusing(options.refusing)
  }

  get drain(): Effect.Effect<void> {
    return Effect.sync(() => this.dispatch({ _tag: "Drain" }))
  }

  get drainExpired(): Effect.Effect<void> {
    return Effect.sync(() => this.dispatch({ _tag: "DrainExpired" }))
  }

  get run(): Effect.Effect<ControlStatistics, never, QueryEngine> {
    return Effect.contextWith((context: Context.Context<QueryEngine>) => {
      this.context = context
      const { publish } = Context.get(context, ConnectionEvents)
      if (publish !== unheard) this.publisher = safely(publish)
      const scope = Scope.makeUnsafe()
      const served = Effect.andThen(this.publish({ _tag: "Opened" }), this.serve(scope))
      const statistics = () => this.statistics()
      return Effect.match(
        Effect.onExit(served, (exit) => this.close(scope, exit)),
        { onSuccess: statistics, onFailure: statistics }
      )
    })
  }

  private serve(scope: Scope.Scope): Effect.Effect<void, Socket.SocketError, QueryEngine> {
    return Effect.andThen(
      Scope.provide(this.start, scope),
      // On a stack of its own: what ends the connection may be in the middle of a write.
      Effect.andThen(Effect.andThen(this.over, Effect.yieldNow), this.flushed)
    )
  }

  /** What the end of the scope interrupts must find the connection closed. */
  private close(scope: Scope.Closeable, exit: Exit.Exit<void, Socket.SocketError>): Effect.Effect<void> {
    if (Exit.isFailure(exit)) this.broken(exit.cause)
    const settled = Effect.suspend(() => {
      this.open?.responses.abandon()
      return this.open?.responses.settled ?? Effect.void
    })
    const closed = Effect.suspend(() => {
      this.open?.unfinished.release()
      return this.publish(this.closed())
    })
    return Effect.andThen(Scope.closeUnsafe(scope, exit) ?? Effect.void, Effect.andThen(settled, closed))
  }

  /** The transport could not be opened, or the connection was interrupted. */
  private broken(cause: Cause.Cause<Socket.SocketError>): void {
    const error = Cause.findErrorOption(cause)
    if (error._tag === "Some") {
      this.dispatch({ _tag: "ReadFailed", detail: FrameWriter.describe(error.value) })
    } else if (this.state._tag !== "Closed") {
      this.state = { _tag: "Closed", reason: "drain", detail: "Server stopped" }
      this.open?.transport.destroy()
    }
  }

  /**
   * Steps the machine and performs the action that follows. All of it happens on the caller's stack, so that
   * no other event can come between a step and its action.
   */
  dispatch(event: Control.Event, body?: Uint8Array): void {
    const [state, action] = Control.step(this.state, event)
    this.state = state
    switch (action._tag) {
      case "StartQuery":
        this.open?.responses.startQuery(body ?? noBody)
        break
      case "StopQuery":
        this.open?.responses.stopQuery()
        break
      case "Respond":
        this.open?.responses.answer(body)
        break
      case "Close":
        this.end(action.how)
    }
  }

  private end(how: "flush" | "abort"): void {
    this.open?.frames.stop()
    this.flush = how === "flush"
    if (!this.flush) this.open?.transport.destroy()
    this.wake?.()
  }

  /** Waits until the machine has closed the connection. */
  private get over(): Effect.Effect<void> {
    return Effect.callback((resume) => {
      this.wake = () => resume(Effect.void)
      if (this.state._tag === "Closed") this.wake()
    })
  }

  /** Waits until what has been answered is written, if it is to be. */
  private get flushed(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (!this.flush || this.open === undefined) return Effect.void
      return Effect.andThen(this.open.responses.settled, this.open.frames.writer.flushed)
    })
  }

  private get start(): Effect.Effect<void, Socket.SocketError, QueryEngine | Scope.Scope> {
    return Effect.gen({ self: this }, function* () {
      const all = limits(this.options.settings)
      const scope = yield* Effect.scope
      const clock = yield* Clock.Clock
      const engine = yield* QueryEngine
      const transport = yield* this.transport
      const frames = yield* FrameSocket.make(transport, all)
      const heartbeat = yield* Heartbeat.make({
        intervalMillis: all.heartbeatMillis,
        writer: frames.writer,
        listener: this
      })
      const quota = yield* RequestQuota.RequestQuota
      const first = Math.min(all.firstRequestTimeoutMillis, all.idleTimeoutMillis)
      heartbeat.setDeadline("idle", clock.currentTimeMillisUnsafe() + first)
      const responses = new Responses(this, {
        engine,
        limit: this.options.queries ?? (yield* QueryLimit),
        quota,
        refusedBy: this.options.refusedBy,
        writer: frames.writer,
        limits: all
      })
      const unfinished = new RequestQuota.Hold(quota)
      this.open = { scope, clock, transport, frames, heartbeat, responses, quota, unfinished }
      frames.read(this)
    })
  }

  received(frames: FrameSocket.Frames): void {
    for (const frame of frames) this.dispatch(frameEvent(frame), frame.body)
  }

  partial(partial: boolean): void {
    const after = partial ? limits(this.options.settings).requestTimeoutMillis : Number.POSITIVE_INFINITY
    this.setDeadline("request", this.now() + after)
  }

  buffered(bytes: number): void {
    if (this.open === undefined || this.open.unfinished.resize(bytes)) return
    this.dispatch({ _tag: "ReadFailed", detail: RequestQuota.exceeded(this.open.quota) })
  }

  ended(cause: Cause.Cause<FrameSocket.ReadError>): void {
    const timeout = this.open?.frames.writer.timedOut()
    if (timeout !== undefined) {
      this.writeFailed(timeout)
    } else if (Cause.hasDies(cause)) {
      this.dispatch({ _tag: "RunFailed", detail: String(Cause.squash(cause)) })
    } else {
      this.dispatch(FrameSocket.inputEnd(cause))
    }
  }

  expired(deadline: Heartbeat.Deadline): void {
    this.dispatch(deadline === "idle" ? this.idleExpired : expired[deadline])
  }

  /** Until the first request has arrived, the sooner of two limits holds. */
  private get idleExpired(): Control.Event {
    const { firstRequestTimeoutMillis, idleTimeoutMillis } = limits(this.options.settings)
    const isFirst = this.open?.frames.messagesRead() === 0 && firstRequestTimeoutMillis < idleTimeoutMillis
    return { _tag: "IdleExpired", setting: isFirst ? "firstRequestTimeout" : undefined }
  }

  writeFailed(error: FrameWriter.Failure): void {
    this.dispatch({ _tag: "WriteFailed", detail: FrameWriter.describe(error) })
  }

  now(): number {
    return this.open?.clock.currentTimeMillisUnsafe() ?? 0
  }

  setDeadline(deadline: Heartbeat.Deadline, at: number): void {
    this.open?.heartbeat.setDeadline(deadline, at)
  }

  fork<E>(effect: Effect.Effect<void, E, Scope.Scope>, own?: Scope.Scope): Fiber.Fiber<void, E> | undefined {
    if (this.open === undefined || this.state._tag === "Closed") return undefined
    const { scope } = this.open
    const fiber = Effect.runForkWith(Context.add(this.context, Scope.Scope, own ?? scope))(effect)
    return fiber.pollUnsafe() === undefined ? Fiber.runIn(fiber, scope) : fiber
  }

  finish(effect: Effect.Effect<void>): Fiber.Fiber<void> {
    return Effect.runForkWith(this.context)(effect, { uninterruptible: true })
  }

  publish(event: Told): Effect.Effect<void> {
    if (this.publisher === undefined) return Effect.void
    this.info ??= this.options.info()
    return this.publisher({ ...event, connection: this.info })
  }

  private statistics(): ControlStatistics {
    const frames = this.open?.frames
    return {
      bytesRead: frames?.bytesRead() ?? 0,
      bytesWritten: frames?.writer.bytesWritten() ?? 0,
      messagesRead: frames?.messagesRead() ?? 0,
      messagesWritten: frames?.writer.messagesWritten() ?? 0,
      ...(this.open?.responses.statistics() ?? noResponses),
      reason: this.state._tag === "Closed" ? this.state.reason : "run"
    }
  }

  private closed(): Told {
    return {
      _tag: "Closed",
      control: this.statistics(),
      heartbeat: this.open?.heartbeat.statistics() ?? noHeartbeat,
      detail: this.state._tag === "Closed" ? this.state.detail : "The connection broke"
    }
  }
}

const noBody = new Uint8Array(0)

const noResponses = { accepted: 0, rejected: 0, cancelled: 0 }

/** A connection does not depend on those who are told of it. */
const safely =
  (publish: (event: ConnectionEvent) => Effect.Effect<void>) =>
  (event: ConnectionEvent): Effect.Effect<void> =>
    Effect.catchCause(
      Effect.suspend(() => publish(event)),
      (cause) => Effect.logError(`ConnectionEvents failed to publish ${event._tag}`, cause)
    )

const noHeartbeat: HeartbeatStatistics = { bytesTransferred: 0, messages: 0, waits: 0, reason: "wait" }

const expired = {
  request: { _tag: "RequestExpired" },
  query: { _tag: "QueryExpired" }
} as const satisfies Record<Exclude<Heartbeat.Deadline, "idle">, Control.Event>

const request: Control.Event = { _tag: "Request" }
const cancel: Control.Event = { _tag: "Cancel" }

const frameEvent = (frame: Frame.Frame): Control.Event => {
  switch (frame.type) {
    case Frame.Type.Request:
      return request
    case Frame.Type.Cancel:
      return cancel
    default:
      return { _tag: "Unexpected", detail: `${Frame.name(frame.type)} from a client` }
  }
}
