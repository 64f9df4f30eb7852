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
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
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
import { Responses } from "./Responses.ts"
import { millis, type Settings } from "./Settings.ts"
import type { ControlStatistics, HeartbeatStatistics } from "./Statistics.ts"

export interface Options {
  readonly info: ConnectionInfo
  readonly settings: Settings
  /** Answers the first request with a reject of this code, and closes. */
  readonly refusing?: Control.ServerCode | undefined
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
export const make = (transport: Transport.Open, options: Options): Connection => {
  const session = new Session(options)
  return {
    run: session.run(transport),
    drain: Effect.sync(() => session.dispatch({ _tag: "Drain" })),
    drainExpired: Effect.sync(() => session.dispatch({ _tag: "DrainExpired" }))
  }
}

type Publish = ((event: ConnectionEvent) => Effect.Effect<void>) | undefined

type Fork = (effect: Effect.Effect<unknown, unknown, Scope.Scope>, scope?: Scope.Scope) => void

/** What a session has while its socket is open. */
interface Open {
  readonly transport: Transport.Transport
  readonly frames: FrameSocket.FrameSocket
  readonly heartbeat: Heartbeat.Heartbeat
  readonly responses: Responses
}

class Session implements FrameSocket.Reader {
  private readonly options: Options
  private state: Control.State
  private open: Open | undefined
  private flush = false
  private readonly over = Latch.makeUnsafe(false)

  constructor(options: Options) {
    this.options = options
    this.state = options.refusing === undefined ? Control.initial : Control.refusing(options.refusing)
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
        this.close(action.how)
    }
  }

  private close(how: "flush" | "abort"): void {
    this.open?.frames.stop()
    this.flush = how === "flush"
    if (!this.flush) this.open?.transport.destroy()
    this.over.openUnsafe()
  }

  run(transport: Transport.Open): Effect.Effect<ControlStatistics, never, QueryEngine> {
    const { info: connection } = this.options
    return Effect.flatMap(ConnectionEvents, (events) => {
      const publish = safely(events.publish)
      const opened = publish?.({ _tag: "Opened", connection }) ?? Effect.void
      return opened.pipe(
        Effect.andThen(Effect.scoped(this.serve(transport, publish))),
        Effect.catch((error) =>
          Effect.sync(() => this.dispatch({ _tag: "ReadFailed", detail: FrameWriter.describe(error) }))
        ),
        Effect.onInterrupt(() => Effect.sync(() => this.interrupted())),
        Effect.ensuring(Effect.suspend(() => publish?.(this.closed()) ?? Effect.void)),
        Effect.andThen(Effect.sync(() => this.statistics()))
      )
    })
  }

  private serve(
    transport: Transport.Open,
    publish: Publish
  ): Effect.Effect<void, Socket.SocketError, QueryEngine | Scope.Scope> {
    return Effect.onInterrupt(Effect.andThen(this.start(transport, publish), this.ending), () =>
      // Before the scope closes: what that interrupts must find the connection closed.
      Effect.sync(() => this.interrupted())
    )
  }

  private readonly ending: Effect.Effect<void> = Effect.suspend(() => {
    // On a stack of its own: what ends the connection may be in the middle of a write.
    const over = Effect.andThen(this.over.await, Effect.yieldNow)
    return Effect.andThen(
      over,
      Effect.suspend(() => (this.flush && this.open !== undefined ? flushed(this.open) : Effect.void))
    )
  })

  private start(
    open: Transport.Open,
    publish: Publish
  ): Effect.Effect<void, Socket.SocketError, QueryEngine | Scope.Scope> {
    const { info: connection, settings } = this.options
    return Effect.gen({ self: this }, function* () {
      const scope = yield* Effect.scope
      const clock = yield* Clock.Clock
      const engine = yield* QueryEngine
      const context = yield* Effect.context<Scope.Scope>()
      const transport = yield* open
      const frames = yield* FrameSocket.make(transport, {
        lengthCounts: settings.lengthCounts,
        maxFrameSize: settings.maxFrameSize,
        writeTimeoutMillis: millis(settings.writeTimeout),
        onPartial: (partial) => {
          const after = partial ? millis(settings.requestTimeout) : Number.POSITIVE_INFINITY
          heartbeat.setDeadline("request", clock.currentTimeMillisUnsafe() + after)
        }
      })
      const heartbeat = yield* Heartbeat.make({
        intervalMillis: millis(settings.heartbeatInterval),
        writer: frames.writer,
        onExpired: (deadline) => this.dispatch(expired[deadline]),
        onWriteFailed: (error) => this.dispatch({ _tag: "WriteFailed", detail: FrameWriter.describe(error) })
      })
      heartbeat.setDeadline("idle", clock.currentTimeMillisUnsafe() + millis(settings.idleTimeout))
      const fork: Fork = (effect, own) => {
        const run = own === undefined ? context : Context.add(context, Scope.Scope, own)
        const fiber = Effect.runForkWith(run)(effect)
        if (fiber.pollUnsafe() === undefined) Fiber.runIn(fiber, scope)
      }
      const responses = new Responses({
        connection,
        settings,
        clock,
        engine,
        writer: frames.writer,
        fork,
        publish,
        state: () => this.state,
        dispatch: (event) => this.dispatch(event),
        setDeadline: (deadline, at) => heartbeat.setDeadline(deadline, at)
      })
      this.open = { transport, frames, heartbeat, responses }
      frames.read(this)
    })
  }

  received(frames: FrameSocket.Frames): void {
    for (const frame of frames) this.dispatch(frameEvent(frame), frame.body)
  }

  ended(cause: Cause.Cause<FrameSocket.ReadError>): void {
    const timeout = this.open?.frames.writer.timedOut()
    if (timeout !== undefined) {
      this.dispatch({ _tag: "WriteFailed", detail: FrameWriter.describe(timeout) })
    } else if (Cause.hasDies(cause)) {
      this.dispatch({ _tag: "RunFailed", detail: String(Cause.squash(cause)) })
    } else {
      this.dispatch(FrameSocket.inputEnd(cause))
    }
  }

  private interrupted(): void {
    if (this.state._tag === "Closed") return
    this.state = { _tag: "Closed", reason: "drain", detail: "Server stopped" }
    this.open?.transport.destroy()
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

  private closed(): ConnectionEvent {
    return {
      _tag: "Closed",
      connection: this.options.info,
      control: this.statistics(),
      heartbeat: this.open?.heartbeat.statistics() ?? noHeartbeat,
      detail: this.state._tag === "Closed" ? this.state.detail : "The connection broke"
    }
  }
}

/** Waits until what has been answered is written. */
const flushed = ({ frames, responses }: Open): Effect.Effect<void> =>
  Effect.andThen(responses.settled, frames.writer.flushed)

const noBody = new Uint8Array(0)

const noResponses = { accepted: 0, rejected: 0, cancelled: 0 }

/** A connection does not depend on those who are told of it. */
const safely = (publish: (event: ConnectionEvent) => Effect.Effect<void>): Publish =>
  publish === unheard
    ? undefined
    : (event) =>
        Effect.catchCause(
          Effect.suspend(() => publish(event)),
          (cause) => Effect.logError(`ConnectionEvents failed to publish ${event._tag}`, cause)
        )

const noHeartbeat: HeartbeatStatistics = { bytesTransferred: 0, messages: 0, waits: 0, reason: "wait" }

const expired = {
  idle: { _tag: "IdleExpired" },
  request: { _tag: "RequestExpired" },
  query: { _tag: "QueryExpired" }
} as const satisfies Record<Heartbeat.Deadline, Control.Event>

const frameEvent = (frame: Frame.Frame): Control.Event => {
  switch (frame.type) {
    case Frame.Type.Request:
      return { _tag: "Request" }
    case Frame.Type.Cancel:
      return { _tag: "Cancel" }
    default:
      return { _tag: "Unexpected", detail: `${Frame.name(frame.type)} from a client` }
  }
}
