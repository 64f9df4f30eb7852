/**
 * One connection: a scope that owns the socket, the control loop, the heartbeat and at most one query.
 *
 * The loop pulls frames, steps the pure machine of `Control` and performs its actions. Closing the scope ends
 * all of it.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import { QueryEngine, type QueryInitError } from "../engine/QueryEngine.ts"
import * as Frame from "../wire/Frame.ts"
import * as FrameSocket from "../wire/FrameSocket.ts"
import type * as FrameWriter from "../wire/FrameWriter.ts"
import * as Answer from "./Answer.ts"
import { type ConnectionEvent, ConnectionEvents, type ConnectionInfo } from "./ConnectionEvents.ts"
import * as Control from "./Control.ts"
import * as Heartbeat from "./Heartbeat.ts"
import * as QueryDriver from "./QueryDriver.ts"
import type { End } from "./ResponseBuffer.ts"
import { millis, type Settings } from "./Settings.ts"
import type { ControlStatistics, HeartbeatStatistics } from "./Statistics.ts"

export interface Options {
  readonly info: ConnectionInfo
  readonly settings: Settings
  /** Answers the first request with a reject of this code, and closes. */
  readonly refusing?: Control.ServerCode | undefined
  /** Bytes that the transport holds for the peer; see `FrameWriter.Options`. */
  readonly unsent?: (() => number) | undefined
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

/** Constructs the connection of a socket; nothing happens before `run`. */
export const make = (socket: Socket.Socket, options: Options): Connection => {
  const session = new Session(options)
  return {
    run: session.run(socket),
    drain: Effect.suspend(() => session.dispatch({ _tag: "Drain" })),
    drainExpired: Effect.suspend(() => session.dispatch({ _tag: "DrainExpired" }))
  }
}

/** What a session has while its socket is open. */
interface Open {
  readonly scope: Scope.Scope
  readonly clock: Clock.Clock
  readonly engine: QueryEngine["Service"]
  readonly publish: (event: ConnectionEvent) => Effect.Effect<void>
  readonly frames: FrameSocket.FrameSocket
  readonly heartbeat: Heartbeat.Heartbeat
}

const urgent = { urgent: true } as const

const noBody = new Uint8Array(0)

class Session {
  private readonly options: Options
  private readonly connection: ConnectionInfo
  private state: Control.State
  private open: Open | undefined
  private query: QueryDriver.QueryDriver | undefined
  private responding: Fiber.Fiber<unknown, unknown> | undefined
  private accepted = 0
  private rejected = 0
  private cancelled = 0

  constructor(options: Options) {
    this.options = options
    this.connection = options.info
    this.state = options.refusing === undefined ? Control.initial : Control.refusing(options.refusing)
  }

  /** Steps the machine at once; the effect performs the action that follows. */
  dispatch(event: Control.Event, body: Uint8Array = noBody): Effect.Effect<void> {
    return this.perform(this.step(event), body)
  }

  private step(event: Control.Event): Control.Action {
    const [state, action] = Control.step(this.state, event)
    this.state = state
    return action
  }

  private perform(action: Control.Action, body: Uint8Array): Effect.Effect<void> {
    const open = this.open
    if (open === undefined) return Effect.void
    const { destroy, flushed } = open.frames.writer
    switch (action._tag) {
      case "None":
        return Effect.void
      case "StartQuery":
        return this.startQuery(open, body)
      case "StopQuery":
        return Effect.sync(() => this.responding?.interruptUnsafe())
      case "Respond":
        return this.forkResponse(open, (turn) => Effect.andThen(turn, this.respond(open)))
      case "Close":
        return action.how === "abort"
          ? destroy
          : Effect.asVoid(Effect.forkIn(Effect.andThen(flushed, destroy), open.scope))
    }
  }

  run(socket: Socket.Socket): Effect.Effect<ControlStatistics, never, QueryEngine> {
    const connection = this.connection
    return Effect.gen({ self: this }, function* () {
      const { publish } = yield* ConnectionEvents
      yield* publish({ _tag: "Opened", connection })
      return yield* Effect.scoped(this.serve(socket)).pipe(
        Effect.catch((error) => this.dispatch({ _tag: "ReadFailed", detail: describe(error) })),
        Effect.onInterrupt(() => Effect.sync(() => this.interrupted())),
        Effect.ensuring(Effect.suspend(() => publish(this.closed()))),
        Effect.andThen(Effect.sync(() => this.statistics()))
      )
    })
  }

  private serve(socket: Socket.Socket): Effect.Effect<void, Socket.SocketError, QueryEngine | Scope.Scope> {
    const { settings, unsent } = this.options
    return Effect.gen({ self: this }, function* () {
      const scope = yield* Effect.scope
      const clock = yield* Clock.Clock
      const engine = yield* QueryEngine
      const { publish } = yield* ConnectionEvents
      const frames = yield* FrameSocket.make(socket, {
        lengthCounts: settings.lengthCounts,
        maxFrameSize: settings.maxFrameSize,
        writeTimeoutMillis: millis(settings.writeTimeout),
        unsent,
        onPartial: (partial) => this.setDeadline("request", partial ? settings.requestTimeout : undefined)
      })
      const heartbeat = yield* Heartbeat.make({
        intervalMillis: millis(settings.heartbeatInterval),
        writer: frames.writer,
        onExpired: (deadline) => this.dispatch(expired[deadline]),
        onWriteFailed: (error) => this.dispatch({ _tag: "WriteFailed", detail: describe(error) })
      })
      this.open = { scope, clock, engine, publish, frames, heartbeat }
      this.setDeadline("idle", settings.idleTimeout)
      yield* this.loop(frames)
      yield* frames.writer.flushed
    })
  }

  private loop(frames: FrameSocket.FrameSocket): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      while (this.state._tag !== "Closed") {
        const exit = yield* Effect.exit(frames.pull)
        if (Exit.isFailure(exit)) {
          yield* this.dispatch(readFailure(exit.cause))
          continue
        }
        for (const frame of exit.value) {
          yield* this.dispatch(frameEvent(frame), frame.body)
        }
      }
    })
  }

  private startQuery(open: Open, body: Uint8Array): Effect.Effect<void> {
    const { connection, options } = this
    const { settings } = options
    const startedAt = open.clock.currentTimeMillisUnsafe()
    let afterwards: Effect.Effect<void> = Effect.void
    this.setDeadline("idle", undefined)
    this.setDeadline("query", settings.queryTimeout)
    const driver = QueryDriver.make({
      engine: open.engine,
      request: body,
      writer: open.frames.writer,
      settings,
      internalError: () => Answer.body("internal"),
      onAccepted: (payload, timeout) => {
        if (timeout !== undefined && millis(timeout) < millis(settings.queryTimeout)) {
          open.heartbeat.setDeadline("query", startedAt + millis(timeout))
        }
        return open.publish({ _tag: "Accepted", connection, payload })
      },
      onBegin: (what) => {
        if (what === "terminal") {
          afterwards = this.terminalBegun()
        } else {
          this.accepted++
          this.step({ _tag: "AcceptBegun" })
        }
      }
    })
    this.query = driver
    return this.forkResponse(open, (turn) =>
      turn.pipe(
        Effect.andThen(open.publish({ _tag: "Request", connection, body })),
        Effect.andThen(driver.run),
        Effect.onExit((exit) => this.queryEnded(open, driver, exit, () => afterwards)),
        Effect.ignoreCause
      )
    )
  }

  /**
   * Runs a response in a fiber of its own. Its turn comes when the one before it has ended: that has begun
   * to be written, but the socket may not have taken all of it yet.
   */
  private forkResponse(
    open: Open,
    response: (turn: Effect.Effect<unknown>) => Effect.Effect<void>
  ): Effect.Effect<void> {
    const before = this.responding
    const turn = before === undefined || before.pollUnsafe() !== undefined ? Effect.void : Fiber.await(before)
    const program = Effect.withFiber((fiber) => {
      this.responding = fiber
      return response(turn)
    })
    return Effect.forkIn(program, open.scope, { startImmediately: true })
  }

  private terminalBegun(): Effect.Effect<void> {
    const afterwards = this.dispatch({ _tag: "TerminalBegun" })
    this.setDeadline("query", undefined)
    this.setDeadline("idle", this.options.settings.idleTimeout)
    return afterwards
  }

  private queryEnded(
    open: Open,
    driver: QueryDriver.QueryDriver,
    exit: Exit.Exit<End, QueryInitError | FrameWriter.Failure>,
    afterwards: () => Effect.Effect<void>
  ): Effect.Effect<void> {
    const { connection } = this
    if (Exit.isSuccess(exit)) {
      return Effect.andThen(open.publish(this.responded(driver, exit.value)), Effect.suspend(afterwards))
    }
    const failure = queryFailure(exit.cause)
    if (failure?._tag !== "WriteFailed" && this.state._tag === "Stopping" && this.query === driver) {
      return this.dispatch({ _tag: "QueryStopped" })
    }
    const query = driver.statistics(failure?._tag === "WriteFailed" ? "fail" : "abort")
    return Effect.andThen(
      open.publish({ _tag: "Aborted", connection, query }),
      failure === undefined ? Effect.void : this.dispatch(failure)
    )
  }

  private responded(driver: QueryDriver.QueryDriver, end: End): ConnectionEvent {
    const { connection } = this
    switch (end._tag) {
      case "Complete":
        return { _tag: "Completed", connection, query: driver.statistics("complete") }
      case "Failed":
        return { _tag: "Failed", connection, payload: end.payload, query: driver.statistics("error") }
      case "Rejected":
        this.rejected++
        return { _tag: "Rejected", connection, payload: end.payload }
    }
  }

  /** Writes the answer that the machine has decided on by the time the write has its turn. */
  private respond(open: Open): Effect.Effect<void> {
    let afterwards: Effect.Effect<void> = Effect.void
    let answered: ConnectionEvent | undefined
    const write = open.frames.writer.write(() => {
      if (this.state._tag !== "Stopping") return []
      const frame = Answer.frame(this.state.answer)
      answered = this.answered(frame)
      afterwards = this.terminalBegun()
      return [frame]
    }, urgent)
    return write.pipe(
      Effect.andThen(Effect.suspend(() => (answered === undefined ? Effect.void : open.publish(answered)))),
      Effect.andThen(Effect.suspend(() => afterwards)),
      Effect.catch((error) => this.dispatch({ _tag: "WriteFailed", detail: describe(error) }))
    )
  }

  private answered(frame: Frame.Frame): ConnectionEvent {
    const { connection } = this
    const driver = this.query
    if (frame.type === Frame.Type.Reject || driver === undefined) {
      this.rejected++
      return { _tag: "Rejected", connection, payload: frame.body }
    }
    if (frame.type === Frame.Type.Error) {
      return { _tag: "Failed", connection, payload: frame.body, query: driver.statistics("abort") }
    }
    this.cancelled++
    return { _tag: "Cancelled", connection, query: driver.statistics("cancel") }
  }

  private setDeadline(deadline: Heartbeat.Deadline, after: Duration.Input | undefined): void {
    if (this.open === undefined) return
    const { clock, heartbeat } = this.open
    const at =
      after === undefined ? Number.POSITIVE_INFINITY : clock.currentTimeMillisUnsafe() + millis(after)
    heartbeat.setDeadline(deadline, at)
  }

  private interrupted(): void {
    if (this.state._tag === "Closed") return
    this.state = { _tag: "Closed", reason: "drain", detail: "Server stopped" }
  }

  private statistics(): ControlStatistics {
    const frames = this.open?.frames
    return {
      bytesRead: frames?.bytesRead() ?? 0,
      bytesWritten: frames?.writer.bytesWritten() ?? 0,
      messagesRead: frames?.messagesRead() ?? 0,
      messagesWritten: frames?.writer.messagesWritten() ?? 0,
      accepted: this.accepted,
      rejected: this.rejected,
      cancelled: this.cancelled,
      reason: this.state._tag === "Closed" ? this.state.reason : "run"
    }
  }

  private closed(): ConnectionEvent {
    return {
      _tag: "Closed",
      connection: this.connection,
      control: this.statistics(),
      heartbeat: this.open?.heartbeat.statistics() ?? noHeartbeat,
      detail: this.state._tag === "Closed" ? this.state.detail : "The connection broke"
    }
  }
}

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

const readFailure = (
  cause: Cause.Cause<Frame.FrameError | Socket.SocketError | Cause.Done>
): Control.Event => {
  const error = Cause.findErrorOption(cause)
  if (error._tag === "None") return { _tag: "ReadFailed", detail: String(Cause.squash(cause)) }
  switch (error.value._tag) {
    case "Done":
      return { _tag: "PeerClosed" }
    case "SocketError":
      return { _tag: "ReadFailed", detail: describe(error.value) }
    case "FrameError":
      return error.value.reason._tag === "EndInsideFrame"
        ? { _tag: "ReadFailed", detail: error.value.message }
        : { _tag: "Malformed", detail: error.value.message }
  }
}

/** What the failure of a query means for the connection: nothing if it was interrupted. */
const queryFailure = (cause: Cause.Cause<QueryInitError | FrameWriter.Failure>) => {
  if (Cause.hasInterruptsOnly(cause)) return undefined
  const error = Cause.findErrorOption(cause)
  if (error._tag === "None") return { _tag: "RunFailed", detail: String(Cause.squash(cause)) } as const
  return error.value._tag === "QueryInitError"
    ? ({ _tag: "InitFailed", detail: error.value.message } as const)
    : ({ _tag: "WriteFailed", detail: describe(error.value) } as const)
}

const describe = (error: FrameWriter.Failure): string => {
  if (error._tag === "WriteTimeout") return error.message
  const { reason } = error
  if (reason._tag === "SocketCloseError") return reason.code === 1000 ? "End of file" : "Connection closed"
  const cause = "cause" in reason ? reason.cause : undefined
  return cause instanceof Error ? cause.message : reason.message
}
