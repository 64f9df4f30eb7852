/**
 * A client of one DataConn server, over as many connections as its requests need.
 *
 * **When to use**
 *
 * In a service that runs several queries at a time, or lives longer than its server: a connection that has ended is
 * replaced. It provides the service of `Client`, so that what uses that need not know.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Pool from "effect/Pool"
import * as Scope from "effect/Scope"
import * as Address from "../wire/Address.ts"
import * as Client from "./Client.ts"
import * as ClientError from "./ClientError.ts"
import { type PoolSettings, poolDefaults } from "./Settings.ts"

type Service = Client.Client["Service"]

/**
 * Makes a client over connections that `connect` makes, when a request finds none that is free. The scope owns
 * them all: closing it breaks off what is in flight. `server` is what errors call the other end.
 *
 * **Details**
 *
 * A response has its connection until the response's scope closes; up to `maxConnections` are in flight, and up to
 * `maxQueuedRequests` wait, first come, first served. A request that was not sent because its connection had ended
 * in idleness is sent on another one. Nothing that was sent is sent again.
 *
 * **Gotchas**
 *
 * Requests of one scope hold a connection each, and more than `maxConnections` of them wait for each other forever.
 * `Effect.scoped` around the use of each response avoids it.
 */
export const make = Effect.fnUntraced(function* (
  connect: Effect.Effect<Service, ClientError.ClientError, Scope.Scope>,
  settings: Partial<PoolSettings> = {},
  server = "the server"
): Effect.fn.Return<Service, never, Scope.Scope> {
  const { idleTimeout, maxConnections, maxQueuedRequests } = { ...poolDefaults, ...settings }
  if (!(Number.isInteger(maxConnections) && maxConnections >= 1)) {
    return yield* Effect.die(
      new RangeError(`maxConnections must be a whole number of 1 or more, not ${maxConnections}`)
    )
  }
  const connections = yield* Scope.make()
  const pool = yield* Pool.makeWithTTL({
    acquire: dial(connect, connections),
    min: 0,
    max: maxConnections,
    timeToLive: idleTimeout
  })
  const requests = new Requests({ pool, connections, maxConnections, maxQueuedRequests, server })
  yield* Effect.addFinalizer(() => requests.close)
  return Client.Client.of({
    request: (body) => requests.run((client) => client.request(body)),
    query: (query) => requests.run((client) => client.query(query)),
    isOpen: () => requests.isOpen
  })
})

/** A connection of the pool. */
interface Dialled {
  readonly client: Service
  /** Whether a request has had it before. */
  used: boolean
}

/** Connects in a scope that ends with the item of the pool, and with all connections. */
const dial = Effect.fnUntraced(function* (
  connect: Effect.Effect<Service, ClientError.ClientError, Scope.Scope>,
  connections: Scope.Scope
): Effect.fn.Return<Dialled, ClientError.ClientError, Scope.Scope> {
  const scope = yield* Scope.fork(connections)
  yield* Effect.addFinalizer((exit) => Scope.close(scope, exit))
  return { client: yield* Scope.provide(connect, scope), used: false }
})

interface Parts {
  readonly pool: Pool.Pool<Dialled, ClientError.ClientError>
  /** Owns the connections. */
  readonly connections: Scope.Closeable
  readonly maxConnections: number
  readonly maxQueuedRequests: number
  readonly server: string
}

/** What is done with a connection. */
type Use<A, E> = (client: Service) => Effect.Effect<A, E | ClientError.ClientError, Scope.Scope>

/** The requests that have a connection, or wait for one. */
class Requests {
  private readonly parts: Parts
  private readonly scopes = new Set<Scope.Closeable>()
  private closed = false

  constructor(parts: Parts) {
    this.parts = parts
  }

  get isOpen(): boolean {
    return !this.closed
  }

  /** Breaks off those in flight and fails those that wait, whose scopes may outlive this one. */
  get close(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.closed = true
      return Effect.andThen(
        Scope.close(this.parts.connections, Exit.void),
        Effect.forEach([...this.scopes], (scope) => Scope.close(scope, Exit.void), { discard: true })
      )
    })
  }

  /** Runs a request on a connection of its own, which it has until the scope closes. One that fails has none. */
  run<A, E>(use: Use<A, E>): Effect.Effect<A, E | ClientError.ClientError, Scope.Scope> {
    const attempt = Effect.flatMap(Effect.scope, (outer) =>
      Effect.flatMap(Scope.fork(outer), (scope) => {
        const response = Effect.flatMap(this.take(scope), (dialled) => this.use(dialled, use))
        return Effect.onExit(Scope.provide(response, scope), (exit) =>
          Exit.isFailure(exit) ? Scope.close(scope, exit) : Effect.void
        )
      })
    )
    return Effect.catchIf(attempt, isStale, () => this.run(use))
  }

  private take(scope: Scope.Closeable): Effect.Effect<Dialled, ClientError.ClientError, Scope.Scope> {
    return Effect.suspend(() => {
      const { maxConnections, maxQueuedRequests, pool, server } = this.parts
      if (this.closed) return Effect.fail(ClientError.closed(server))
      if (this.scopes.size >= maxConnections + maxQueuedRequests) {
        return Effect.fail(ClientError.tooManyRequests(server, maxQueuedRequests))
      }
      this.scopes.add(scope)
      let dialled: Dialled | undefined
      // Runs after the pool has the connection back: one that has ended leaves it.
      const left = Effect.suspend(() => {
        this.scopes.delete(scope)
        return dialled?.client.isOpen() === false ? Pool.invalidate(pool, dialled) : Effect.void
      })
      const taken = Effect.map(Pool.get(pool), (item) => {
        dialled = item
        return item
      })
      return Effect.andThen(
        Scope.addFinalizer(scope, left),
        // A pool that shuts down interrupts those that wait for it.
        Effect.catchCause(taken, (cause) =>
          this.closed ? Effect.fail(ClientError.closed(server)) : Effect.failCause(cause)
        )
      )
    })
  }

  private use<A, E>(dialled: Dialled, use: Use<A, E>) {
    const { client, used } = dialled
    dialled.used = true
    return Effect.mapError(use(client), (error) => (used && isUnsent(error) ? stale : error))
  }
}

/** The connection had ended in idleness. */
const stale = Symbol("stale")

const isStale = (error: unknown): error is typeof stale => error === stale

const isUnsent = (error: unknown): boolean =>
  error instanceof ClientError.ClientError && error.reason._tag === "ConnectionClosed"

/** Makes a client of the server at an address, which connects when the first request comes. */
export const connect = (
  address: Address.Address,
  settings: Partial<PoolSettings> = {}
): Effect.Effect<Service, never, Scope.Scope> =>
  make(Client.connect(address, settings), settings, Address.format(address))

/** Provides a client of the server at an address. */
export const layerConnect = (
  address: Address.Address,
  settings?: Partial<PoolSettings>
): Layer.Layer<Client.Client> => Layer.effect(Client.Client, connect(address, settings))
