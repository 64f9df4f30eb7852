/**
 * One connection: a scope in which a framed stream of messages feeds the control, a fiber writes heartbeats,
 * and each query has its own fiber. Closing the scope joins them all and closes the socket.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import * as Given from "../engine/Given.ts"
import { QueryEngine } from "../engine/QueryEngine.ts"
import * as FramedConnection from "../framing/FramedConnection.ts"
import * as Writer from "../framing/Writer.ts"
import * as Timers from "../loop/Timers.ts"
import * as Transport from "../net/Transport.ts"
import * as Machine from "../protocol/ServerMachine.ts"
import { ConnectionEvents, type ConnectionInfo, type Listener, type Step } from "./ConnectionEvents.ts"
import { Control } from "./Control.ts"
import { Culprit } from "./Culprit.ts"
import { Heartbeat } from "./Heartbeat.ts"
import { type Places, QueryLimit } from "./QueryLimit.ts"
import * as RequestQuota from "./RequestQuota.ts"
import { RunningQueries } from "./RunningQueries.ts"
import { limits, type Settings } from "./Settings.ts"
import type { Shutdown } from "./Shutdown.ts"
import type { ControlStatistics, HeartbeatStatistics } from "./Statistics.ts"

/**
 * Settings of a connection, and the objects that it shares with the others of its server.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options {
  /** The two ends, for events and for the name of the peer. */
  readonly info: () => ConnectionInfo
  readonly settings: Settings
  /** Answers the first request with a reject of this code, and closes. */
  readonly refusing?: Machine.LocalCode | undefined
  /** The places for its queries. Default: those of the context. */
  readonly queries?: Places | undefined
  /** The setting that the reject of a refused connection names, if one is the cause. */
  readonly refusedBy?: string | undefined
  /** Records the work that the connection waits for. */
  readonly culprit?: Culprit | undefined
  /** Notifies the connection when its server stops. */
  readonly shutdown?: Pick<Shutdown, "join"> | undefined
}

/**
 * Serves a connection until it ends, for any reason, which the statistics contain. Never fails. Interruption
 * aborts the running query and drops the socket.
 *
 * @category serving
 * @since 0.1.0
 */
export const serve = (
  open: Transport.Open,
  options: Options
): Effect.Effect<ControlStatistics, never, QueryEngine> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(ConnectionEvents, (listener) => {
      const publish = publisher(listener, options)
      const ended = life(open, options, publish, restore)
      return publish === undefined
        ? Effect.map(ended, controlOf)
        : Effect.andThen(
            Effect.exit(restore(publish({ _tag: "Opened" }))),
            Effect.tap(ended, (end) => publish({ _tag: "Closed", ...end })).pipe(Effect.map(controlOf))
          )
    })
  )

const controlOf = ({ control }: Ended): ControlStatistics => control

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** The lifetime of a connection, from its opening to its end. */
const life = (
  open: Transport.Open,
  options: Options,
  publish: Publish,
  restore: Restore
): Effect.Effect<Ended, never, QueryEngine> =>
  Effect.catchCause(
    Effect.scopedWith((scope) =>
      // Suspended, so that the effects of opening do not stay on the stack for the connection's lifetime.
      Effect.suspend(() =>
        Effect.flatMap(Scope.provide(opened(open, options, publish, restore), scope), (connection) =>
          live(connection, scope, restore)
        )
      )
    ),
    unopened
  )

interface Opened {
  readonly control: Control
  readonly heartbeat: Heartbeat
}

const opened = Effect.fnUntraced(function* (
  open: Transport.Open,
  options: Options,
  publish: Publish,
  restore: Restore
): Effect.fn.Return<Opened, Socket.SocketError, QueryEngine | Scope.Scope> {
  const { queries, refusing, settings, shutdown } = options
  const scope = yield* Effect.scope
  const all = limits(settings)
  const timers = yield* Timers.use
  const wrap = yield* Transport.Wrapper
  const transport = yield* restore(wrap(open, { end: "server", peer: () => options.info().remote }))
  const quota = yield* RequestQuota.RequestQuota
  const framed = yield* FramedConnection.make(transport, all.codec, {
    writeTimeoutMillis: all.writeTimeoutMillis,
    frameTimeoutMillis: all.frameTimeoutMillis,
    account: new RequestQuota.Hold(quota),
    skips: () => control.takesRequest
  })
  const heartbeat = new Heartbeat(framed.writer, timers, all.heartbeatMillis)
  const control: Control = new Control({
    framed,
    engine: yield* QueryEngine,
    limit: queries ?? (yield* QueryLimit),
    running: yield* RunningQueries,
    quota,
    refusedBy: options.refusedBy,
    limits: all,
    timers,
    connection: scope,
    initial: refusing === undefined ? Machine.initial : Machine.refusing(refusing),
    publish,
    culprit: options.culprit ?? new Culprit()
  })
  if (shutdown !== undefined) yield* shutdown.join(control)
  return { control, heartbeat }
})

/** Ends the connection if the heartbeat fails to write. */
const beating = (heartbeat: Heartbeat, control: Control): Effect.Effect<void> =>
  Effect.catchCause(heartbeat.run, (cause) => Effect.sync(() => control.writeFailed(cause)))

const live = (
  { control, heartbeat }: Opened,
  scope: Scope.Scope,
  restore: Restore
): Effect.Effect<Ended, never, QueryEngine> =>
  Effect.flatMap(Effect.forkIn(beating(heartbeat, control), scope), (fiber) =>
    Effect.catchCause(restore(control.run), (cause) =>
      // No heartbeats are written while the rest of a query ends.
      Effect.map(Effect.andThen(control.close(cause), Fiber.interrupt(fiber)), () => ({
        control: control.statistics(),
        heartbeat: heartbeat.statistics(),
        detail: control.error.detail
      }))
    )
  )

/** The final statistics of a connection. */
interface Ended {
  readonly control: ControlStatistics
  readonly heartbeat: HeartbeatStatistics
  readonly detail: string
}

/** The transport could not be opened, or the connection was interrupted before that. */
const unopened = (cause: Cause.Cause<Socket.SocketError>): Effect.Effect<Ended> => {
  const error = Cause.findErrorOption(cause)
  const end = (reason: ControlStatistics["reason"], detail: string) =>
    Effect.succeed<Ended>({
      control: { ...nothing, reason },
      heartbeat: { bytesTransferred: 0, messages: 0, waits: 0, reason: "wait" },
      detail
    })
  if (error._tag === "Some") return end("read", Writer.describe(error.value))
  return Cause.hasInterruptsOnly(cause)
    ? end("drain", "Server stopped")
    : end("run", String(Cause.squash(cause)))
}

const nothing = {
  bytesRead: 0,
  bytesWritten: 0,
  messagesRead: 0,
  messagesWritten: 0,
  accepted: 0,
  rejected: 0,
  cancelled: 0
}

type Publish = ((step: Step) => Effect.Effect<void>) | undefined

/** Failures of the listener do not affect the connection. */
const publisher = (listener: Listener | undefined, options: Options): Publish => {
  if (listener === undefined) return undefined
  const { culprit } = options
  let connection: ConnectionInfo | undefined
  return (step) =>
    Effect.catchCause(
      Effect.suspend(() => {
        connection ??= options.info()
        culprit?.publishing(step._tag)
        const published = Given.effect("publish", listener.publish({ ...step, connection }))
        return Effect.map(published, () => culprit?.publishing(undefined))
      }),
      (cause) => {
        culprit?.publishing(undefined)
        return Effect.logError(`ConnectionEvents failed to publish ${step._tag}`, cause)
      }
    )
}
