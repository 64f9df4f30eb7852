/**
 * The connections of a server, whatever their sockets are: lets them in within the limits, serves them, and
 * ends them when the server stops.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { QueryEngine } from "../engine/QueryEngine.ts"
import * as Spawner from "../loop/Spawner.ts"
import * as Timers from "../loop/Timers.ts"
import type * as Transport from "../net/Transport.ts"
import * as Message from "../protocol/Message.ts"
import * as Admission from "./Admission.ts"
import * as Connection from "./Connection.ts"
import type { ConnectionInfo } from "./ConnectionEvents.ts"
import { Culprit } from "./Culprit.ts"
import * as LocalReply from "./LocalReply.ts"
import * as QueryLimit from "./QueryLimit.ts"
import * as RequestQuota from "./RequestQuota.ts"
import * as RunningQueries from "./RunningQueries.ts"
import type { Settings } from "./Settings.ts"
import { grace, Shutdown } from "./Shutdown.ts"

export interface Options extends Settings, Admission.Limits, QueryLimit.Options {
  /** How long running responses may take once the server stops. */
  readonly drainTimeout: Duration.Input
  /** How many bytes the requests may take in memory that are not complete or wait for their turn. */
  readonly maxUnfinishedBytes: number
}

/** A connection that has been accepted. */
export interface Arrival {
  readonly transport: Transport.Open
  /** What it counts for in the limits per address; see `RemoteAddress`. */
  readonly address: string
  /** Its two ends as text; `id` is the number that the connection gets. */
  readonly endpoints: (id: number) => Omit<ConnectionInfo, "id">
  /** Closes the socket of a connection that is not let in, after these bytes. */
  readonly drop: (words: Uint8Array) => void
}

export interface Connections {
  /** Serves a connection, tells it that there is no place for it, or drops it. */
  readonly accept: (arrival: Arrival) => void
  /**
   * Other limits from now on. Those of all connections together hold at once, and drop nobody; those of a connection
   * hold for the connections that come.
   */
  readonly reload: (options: Options) => void
  /** How many are open. */
  readonly size: Effect.Effect<number>
  /** Stops waiting for responses, if the scope is closing or when it does. */
  readonly stopNow: Effect.Effect<void>
}

/** A connection that has not ended. */
interface Living {
  readonly info: () => ConnectionInfo
  readonly culprit: Culprit
  /** Gives its place back. */
  readonly leave: () => void
  /** Drops its socket, once that is open. */
  destroy: () => void
}

/** Waits for the end of the connections, with a limit: what the code of others does may never end. */
const ending = Effect.fnUntraced(function* (closing: Effect.Effect<void>, living: ReadonlySet<Living>) {
  // A fiber without a parent: nothing but the end of the process can end it, if it comes to that.
  const fiber = yield* Effect.forkDetach(closing, { startImmediately: true })
  yield* Effect.raceFirst(Fiber.await(fiber), Effect.sleep(grace))
  for (const connection of [...living]) {
    const { id, local, remote } = connection.info()
    yield* Effect.logError(
      `Dropped connection ${id} (${remote} => ${local}), which has not ended after drainTimeout: ${connection.culprit.description}`
    )
    connection.destroy()
    connection.leave()
  }
})

/** How many turns of the event loop a stopping server waits for connections that are being opened. */
const maxOpeningTurns = 100

/**
 * Serves connections in the scope, with the `QueryEngine` of the context within its limits. Closing the scope
 * ends them: idle ones at once, those that respond within `drainTimeout`. None is let in from then on. What has not
 * ended by `Shutdown.goodbye` and `Shutdown.grace` after that is dropped, and the log says why.
 */
export const make = Effect.fnUntraced(function* (
  initial: Options
): Effect.fn.Return<Connections, never, QueryEngine | Scope.Scope> {
  let options = initial
  // One that does not end must not keep the others from being interrupted.
  const fibers = yield* Scope.make("parallel")
  // Closed when the last connection has ended: until then hearts beat.
  const waking = yield* Scope.make()
  const quota = new RequestQuota.Quota(options.maxUnfinishedBytes)
  const context = (yield* Effect.context<never>()).pipe(
    Context.add(QueryEngine, yield* QueryEngine),
    Context.add(RequestQuota.RequestQuota, quota),
    Context.add(RunningQueries.RunningQueries, new RunningQueries.Registry()),
    Context.add(Timers.Shared, yield* Scope.provide(Timers.make, waking))
  )
  const spawner = yield* Spawner.make.pipe(Scope.provide(fibers), Effect.provideContext(context))
  const queries = new QueryLimit.Limit(options)
  const admission = new Admission.Admission(options)
  const shutdown = new Shutdown()
  let impatient = impatientOf(options)
  /** Those that have not opened their sockets: until then nobody else closes them. */
  const arriving = new Set<Arrival>()
  const living = new Set<Living>()
  let count = 0

  yield* Effect.addFinalizer(() =>
    Effect.gen(function* () {
      admission.close()
      // Connections that were let in just now are told, too, if they open their sockets.
      for (let turns = 0; arriving.size > 0 && turns < maxOpeningTurns; turns++) yield* Effect.yieldNow
      yield* shutdown.drain(options.drainTimeout)
      yield* ending(Scope.close(fibers, Exit.void), living)
      for (const { drop } of arriving) drop(words("shutting_down"))
      yield* Scope.close(waking, Exit.void)
    })
  )

  /** The goodbye of a connection that is not let in: it answers the request that may come. */
  const words = (code: "overloaded" | "shutting_down", refusedBy?: string): Uint8Array =>
    Message.encode(
      Message.make(
        Message.Type.Reject,
        refusedBy === undefined ? LocalReply.body(code, true) : LocalReply.refusal(refusedBy)
      ),
      options
    )

  const accept: Connections["accept"] = (arrival) => {
    const { address, drop, endpoints, transport } = arrival
    const refusedBy = admission.limit(address)
    const place = admission.enter(address)
    if (place === undefined) {
      return drop(admission.isClosed ? words("shutting_down") : words("overloaded", refusedBy))
    }
    const id = ++count
    const refusing = place === "refused"
    const culprit = new Culprit()
    const info = () => ({ id, ...endpoints(id) })
    const opened = (open: Transport.Transport) => {
      arriving.delete(arrival)
      self.destroy = open.destroy.bind(open)
    }
    const connection = Connection.serve(
      Effect.tap(transport, (open) => Effect.sync(() => opened(open))),
      {
        info,
        culprit,
        settings: refusing ? impatient : options,
        queries: queries.of(address),
        refusing: refusing ? "overloaded" : undefined,
        refusedBy,
        shutdown
      }
    )
    const leave = () => {
      if (!living.delete(self)) return
      admission.leave(place, address)
      // Its socket could not be opened.
      if (arriving.delete(arrival)) drop(words("shutting_down"))
    }
    const self: Living = { info, culprit, leave, destroy: () => {} }
    living.add(self)
    arriving.add(arrival)
    spawner.spawn(Effect.provideContext(Effect.ensuring(connection, Effect.sync(leave)), context))
  }

  const reload: Connections["reload"] = (next) => {
    options = next
    impatient = impatientOf(next)
    quota.limit = next.maxUnfinishedBytes
    admission.reload(next)
    queries.reload(next)
  }

  return { accept, reload, size: Effect.sync(() => shutdown.size + arriving.size), stopNow: shutdown.now }
})

/** A connection that is only told that there is no place for it must not wait with its request. */
const impatientOf = (options: Options): Settings => ({ ...options, idleTimeout: options.requestTimeout })
