/**
 * The connections of a server, independent of the kind of socket: admits them within the limits, serves them,
 * and ends them when the server stops.
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
import * as RemoteAddress from "../net/RemoteAddress.ts"
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
  /** The memory in bytes for requests that are incomplete or wait for their turn. */
  readonly maxUnfinishedBytes: number
}

/** A connection that has been accepted. */
export interface Arrival {
  readonly transport: Transport.Open
  /** The address under which it counts in the limits per address; see `RemoteAddress`. */
  readonly address: string
  /** Its two ends as text; `id` is the number that the connection gets. */
  readonly endpoints: (id: number) => Omit<ConnectionInfo, "id">
  /** Writes these bytes and closes the socket, for a connection that is not admitted. */
  readonly drop: (words: Uint8Array) => void
}

export interface Connections {
  /** Serves a connection, rejects its request for lack of a place, or drops it. */
  readonly accept: (arrival: Arrival) => void
  /**
   * Changes the limits. The limits of all connections together apply at once and drop no connection; those of
   * one connection apply to new connections.
   */
  readonly reload: (options: Options) => void
  /** The number of open connections. */
  readonly size: Effect.Effect<number>
  /**
   * Ends all connections as closing the scope does, except those within the process, which go on until then.
   * Returns when they have ended, or their time is over.
   */
  readonly drainClients: Effect.Effect<void>
  /** Stops waiting for responses, if the scope is closing or once it does. */
  readonly stopNow: Effect.Effect<void>
}

/** Shared by the connections of a server. */
interface Shared {
  readonly admission: Admission.Admission
  readonly queries: QueryLimit.Limit
  readonly shutdown: Shutdown
  /** The same for connections within the process, which may have to outlive the others. */
  readonly innerShutdown: Shutdown
  /** Connections whose sockets are not open yet: until then their arrival closes them. */
  readonly arriving: Set<Arrival>
  /** Connections that have not ended. */
  readonly living: Set<Living>
  /** Closes the socket of a connection that could not be opened. */
  readonly drop: (arrival: Arrival) => void
}

/** The terms of admission of a connection. */
interface Served {
  readonly place: Admission.Place
  readonly refusedBy: string | undefined
  readonly settings: Settings
}

/** A connection that has not ended, and the options that it is served with. */
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
    const isInner = this.arrival.address === RemoteAddress.internal
    return isInner ? this.shared.innerShutdown : this.shared.shutdown
  }

  info(): ConnectionInfo {
    return { id: this.id, ...this.arrival.endpoints(this.id) }
  }

  /** Suspended, so that the fiber's stack does not retain the effects of opening. */
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

  /** Drops the socket, if it is open. */
  destroy(): void {
    this.transport?.destroy()
  }

  /** Frees the connection's place. */
  leave(): void {
    const { admission, arriving, drop, living } = this.shared
    if (!living.delete(this)) return
    admission.leave(this.place, this.arrival.address)
    // The socket could not be opened.
    if (arriving.delete(this.arrival)) drop(this.arrival)
  }
}

/** Waits for the end of the connections, with a limit: code of embedders and engines may never end. */
const ending = Effect.fnUntraced(function* (
  closing: Effect.Effect<void>,
  grace: Effect.Effect<unknown>,
  living: ReadonlySet<Living>
) {
  // A fiber without a parent: if it hangs, only the end of the process ends it.
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
 * stops admission and ends the connections: idle ones at once, responding ones within `drainTimeout`.
 * Connections that have not ended by `Shutdown.goodbye` and `Shutdown.grace` after that are dropped, and the
 * log gives the reason.
 */
export const make = Effect.fnUntraced(function* (
  initial: Options
): Effect.fn.Return<Connections, never, QueryEngine | Scope.Scope> {
  let options = initial
  // Parallel: a connection that does not end must not delay the interruption of others.
  const fibers = yield* Scope.make("parallel")
  // Closed when the last connection has ended: heartbeats continue until then.
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
  const innerShutdown = new Shutdown()
  let impatient = impatientOf(options)
  const arriving = new Set<Arrival>()
  const living = new Set<Living>()
  const shared: Shared = {
    admission,
    queries,
    shutdown,
    innerShutdown,
    arriving,
    living,
    drop: (arrival) => arrival.drop(words("shutting_down"))
  }
  let count = 0

  /** Connections that were admitted just now are notified too, if they open their sockets. */
  const opened = Effect.gen(function* () {
    for (let turns = 0; arriving.size > 0 && turns < maxOpeningTurns; turns++) yield* Effect.yieldNow
  })
  /** Runs once, whoever comes first. */
  const drainClients = yield* Effect.cached(
    Effect.gen(function* () {
      admission.closeToClients()
      yield* opened
      yield* shutdown.drain(options.drainTimeout)
    })
  )
  yield* Effect.addFinalizer(() =>
    Effect.gen(function* () {
      admission.close()
      const drainInner = Effect.andThen(opened, innerShutdown.drain(options.drainTimeout))
      yield* Effect.all([drainClients, drainInner], { concurrency: "unbounded", discard: true })
      yield* ending(Scope.close(fibers, Exit.void), shutdown.grace, living)
      for (const arrival of arriving) shared.drop(arrival)
      yield* Scope.close(waking, Exit.void)
    })
  )

  /** The goodbye of a connection that is not admitted: it answers the request that may come. */
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
      return arrival.drop(
        admission.isClosed(address) ? words("shutting_down") : words("overloaded", refusedBy)
      )
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

  return {
    accept,
    reload,
    size: Effect.sync(() => shutdown.size + innerShutdown.size + arriving.size),
    drainClients,
    stopNow: Effect.andThen(shutdown.now, innerShutdown.now)
  }
})

/** A refused connection must send its request without delay. */
const impatientOf = (options: Options): Settings => ({ ...options, idleTimeout: options.requestTimeout })
