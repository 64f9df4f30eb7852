/**
 * One connection: a scope in which a framed stream of messages feeds the control, a fiber writes heartbeats, and each
 * query is a fiber of its own. Closing the scope joins them all and closes the socket.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import { QueryEngine } from "../engine/QueryEngine.ts"
import * as FramedConnection from "../framing/FramedConnection.ts"
import * as Writer from "../framing/Writer.ts"
import * as Timers from "../loop/Timers.ts"
import * as Transport from "../net/Transport.ts"
import * as Message from "../protocol/Message.ts"
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
 * Settings of a connection, and what it shares with the others of its server.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options {
  /** Asked for once, when an embedder is told of the connection. */
  readonly info: () => ConnectionInfo
  readonly settings: Settings
  /** Answers the first request with a reject of this code, and closes. */
  readonly refusing?: Machine.LocalCode | undefined
  /** The places that its queries take; those of the context where it is left out. */
  readonly queries?: Places | undefined
  /** The setting that the reject of a refused connection names, where one is the cause. */
  readonly refusedBy?: string | undefined
  /** Knows what the connection waits for. */
  readonly culprit?: Culprit | undefined
  /** Tells the connection that its server stops. */
  readonly shutdown?: Pick<Shutdown, "join"> | undefined
}

/**
 * Serves a connection until it ends, for whatever reason; the statistics say which. Never fails. Interruption aborts
 * the running query and drops the socket.
 *
 * @category serving
 * @since 0.1.0
 */
export const serve = (
  open: Transport.Open,
  options: Options
): Effect.Effect<ControlStatistics, never, QueryEngine> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const publish = publisher(yield* ConnectionEvents, options)
      if (publish !== undefined) yield* Effect.exit(restore(publish({ _tag: "Opened" })))
      const ended = yield* Effect.catchCause(Effect.scoped(live(open, options, publish, restore)), (cause) =>
        Effect.succeed(unopened(cause))
      )
      yield* publish?.({ _tag: "Closed", ...ended }) ?? Effect.void
      return ended.control
    })
  )

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

const live = Effect.fnUntraced(function* (
  open: Transport.Open,
  { culprit, info, queries, refusedBy, refusing, settings, shutdown }: Options,
  publish: Publish,
  restore: Restore
): Effect.fn.Return<Ended, Socket.SocketError, QueryEngine | Scope.Scope> {
  const scope = yield* Effect.scope
  const all = limits(settings)
  const timers = yield* Timers.use
  const wrap = yield* Transport.Wrapper
  const transport = yield* restore(wrap(open, { end: "server", peer: () => info().remote }))
  const quota = yield* RequestQuota.RequestQuota
  const codec = Message.codec(all, () => control.takesRequest)
  const account = new RequestQuota.Hold(quota)
  const framed = yield* FramedConnection.make(transport, codec, { ...all, account })
  const heartbeat = new Heartbeat(framed.writer, timers, all.heartbeatMillis)
  const control: Control = new Control({
    framed,
    engine: yield* QueryEngine,
    limit: queries ?? (yield* QueryLimit),
    running: yield* RunningQueries,
    quota,
    refusedBy,
    limits: all,
    timers,
    scope: Scope.forkUnsafe(scope),
    initial: refusing === undefined ? Machine.initial : Machine.refusing(refusing),
    publish,
    culprit: culprit ?? new Culprit()
  })
  if (shutdown !== undefined) yield* shutdown.join(control)
  yield* Effect.forkIn(control.guard(heartbeat.run), scope)
  yield* Effect.catchCause(restore(control.run), (cause) => control.close(cause))
  return { control: control.statistics(), heartbeat: heartbeat.statistics(), detail: control.error.detail }
})

/** How a connection ended. */
interface Ended {
  readonly control: ControlStatistics
  readonly heartbeat: HeartbeatStatistics
  readonly detail: string
}

/** The transport could not be opened, or the connection was interrupted before it was. */
const unopened = (cause: Cause.Cause<Socket.SocketError>): Ended => {
  const error = Cause.findErrorOption(cause)
  const end = (reason: ControlStatistics["reason"], detail: string): Ended => ({
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

/** A connection does not depend on its listener. */
const publisher = (listener: Listener | undefined, { culprit, info }: Options): Publish => {
  if (listener === undefined) return undefined
  let connection: ConnectionInfo | undefined
  return (step) =>
    Effect.catchCause(
      Effect.suspend(() => {
        connection ??= info()
        culprit?.publishing(step._tag)
        return Effect.map(listener.publish({ ...step, connection }), () => culprit?.publishing(undefined))
      }),
      (cause) => {
        culprit?.publishing(undefined)
        return Effect.logError(`ConnectionEvents failed to publish ${step._tag}`, cause)
      }
    )
}
