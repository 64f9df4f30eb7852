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
import { Shutdown } from "./Shutdown.ts"

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

/** What the connections of a server share. */
interface Shared {
  readonly admission: Admission.Admission
  readonly queries: QueryLimit.Limit
  readonly shutdown: Shutdown
  /** Those that have not opened their sockets: until then nobody else closes them. */
  readonly arriving: Set<Arrival>
  /** Those that have not ended. */
  readonly living: Set<Living>
  /** Closes the socket of one that could not be opened. */
  readonly drop: (arrival: Arrival) => void
}

/** How one is let in. */
interface Served {
  readonly place: Admission.Place
  readonly refusedBy: string | undefined
  readonly settings: Settings
}

/** A connection that has not ended, and what it is served with. */
class Living implements Connection.Options {
  readonly culprit = new Culprit()
  readonly settings: Settings
  readonly refusedBy: string | undefined
  readonly queries: QueryLimit.Places
  private readonly id: number
  private readonly arrival: Arrival
  private readonly place: Admission.Place
  private readonly shared: Shared
  private transport: Transport.Transport | undefined

  constructor(id: number, arrival: Arrival, { place, refusedBy, settings }: Served, shared: Shared) {
    this.id = id
    this.arrival = arrival
    this.place = place
    this.refusedBy = refusedBy
    this.settings = settings
    this.queries = shared.queries.of(arrival.address)
    this.shared = shared
    shared.living.add(this)
    shared.arriving.add(arrival)
  }

  get refusing(): "overloaded" | undefined {
    return this.place === "refused" ? "overloaded" : undefined
  }

  get shutdown(): Shutdown {
    return this.shared.shutdown
  }

  info(): ConnectionInfo {
    return { id: this.id, ...this.arrival.endpoints(this.id) }
  }

  /** Nothing that only opens it is kept by what it leaves on its fiber's stack. */
  get served(): Effect.Effect<unknown, never, QueryEngine> {
    return Effect.onExit(
      Effect.suspend(() => Connection.serve(this.open, this)),
      () => Effect.sync(() => this.leave())
    )
  }

  private get open(): Transport.Open {
    return Effect.suspend(() => Effect.map(this.arrival.transport, (transport) => this.opened(transport)))
  }

  private opened(transport: Transport.Transport): Transport.Transport {
    this.shared.arriving.delete(this.arrival)
    this.transport = transport
    return transport
  }

  /** Drops its socket, once that is open. */
  destroy(): void {
    this.transport?.destroy()
  }

  /** Gives its place back. */
  leave(): void {
    const { admission, arriving, drop, living } = this.shared
    if (!living.delete(this)) return
    admission.leave(this.place, this.arrival.address)
    // Its socket could not be opened.
    if (arriving.delete(this.arrival)) drop(this.arrival)
  }
}

/** Waits for the end of the connections, with a limit: what the code of others does may never end. */
const ending = Effect.fnUntraced(function* (
  closing: Effect.Effect<void>,
  grace: Effect.Effect<unknown>,
  living: ReadonlySet<Living>
) {
  // A fiber without a parent: nothing but the end of the process can end it, if it comes to that.
  const fiber = yield* Effect.forkDetach(closing, { startImmediately: true })
  yield* Effect.raceFirst(Fiber.await(fiber), grace)
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
  const spawner = yield* Spawner.makeIn<QueryEngine>().pipe(
    Scope.provide(fibers),
    Effect.provideContext(context)
  )
  const queries = new QueryLimit.Limit(options)
  const admission = new Admission.Admission(options)
  const shutdown = new Shutdown()
  let impatient = impatientOf(options)
  const arriving = new Set<Arrival>()
  const living = new Set<Living>()
  const shared: Shared = {
    admission,
    queries,
    shutdown,
    arriving,
    living,
    drop: (arrival) => arrival.drop(words("shutting_down"))
  }
  let count = 0

  yield* Effect.addFinalizer(() =>
    Effect.gen(function* () {
      admission.close()
      // Connections that were let in just now are told, too, if they open their sockets.
      for (let turns = 0; arriving.size > 0 && turns < maxOpeningTurns; turns++) yield* Effect.yieldNow
      yield* shutdown.drain(options.drainTimeout)
      yield* ending(Scope.close(fibers, Exit.void), shutdown.grace, living)
      for (const arrival of arriving) shared.drop(arrival)
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
    const { address } = arrival
    const refusedBy = admission.limit(address)
    const place = admission.enter(address)
    if (place === undefined) {
      return arrival.drop(admission.isClosed ? words("shutting_down") : words("overloaded", refusedBy))
    }
    const settings = place === "refused" ? impatient : options
    spawner.spawn(new Living(++count, arrival, { place, refusedBy, settings }, shared).served)
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
