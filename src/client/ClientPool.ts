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
  const pool = yield* Pool.makeWithTTL({
    acquire: Effect.map(connect, (client): Dialled => ({ client, used: false })),
    min: 0,
    max: maxConnections,
    timeToLive: idleTimeout
  })
  const requests = new Requests({ pool, maxConnections, maxQueuedRequests, server })
  // Before the pool's own, which closes the connections and would wait for those that are in use.
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

interface Parts {
  readonly pool: Pool.Pool<Dialled, ClientError.ClientError>
  readonly maxConnections: number
  readonly maxQueuedRequests: number
  readonly server: string
}

/** What is done with a connection. */
type Use<A, E> = (client: Service) => Effect.Effect<A, E | ClientError.ClientError, Scope.Scope>

/** The requests that have a connection, or wait for one. */
class Requests {
  private readonly parts: Parts
  /** What they have of the pool, or wait for: scopes within those of their responses. */
  private readonly leases = new Set<Scope.Closeable>()
  private closed = false

  constructor(parts: Parts) {
    this.parts = parts
  }

  get isOpen(): boolean {
    return !this.closed
  }

  /** Gives all connections back, although the scopes of their responses may stay open, and takes none any more. */
  get close(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.closed = true
      return Effect.forEach([...this.leases], (lease) => Scope.close(lease, Exit.void), { discard: true })
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

  private take(scope: Scope.Scope): Effect.Effect<Dialled, ClientError.ClientError> {
    return Effect.suspend(() => {
      const { maxConnections, maxQueuedRequests, server } = this.parts
      if (this.closed) return Effect.fail(ClientError.closed(server))
      if (this.leases.size >= maxConnections + maxQueuedRequests) {
        return Effect.fail(ClientError.tooManyRequests(server, maxQueuedRequests))
      }
      return Effect.flatMap(Scope.fork(scope), (lease) => this.lease(lease))
    })
  }

  private lease(lease: Scope.Closeable): Effect.Effect<Dialled, ClientError.ClientError> {
    const { pool, server } = this.parts
    let dialled: Dialled | undefined
    this.leases.add(lease)
    // Runs after the pool has the connection back: one that has ended leaves it.
    const returned = Effect.suspend(() => {
      this.leases.delete(lease)
      return dialled?.client.isOpen() === false ? Pool.invalidate(pool, dialled) : Effect.void
    })
    const taken = Effect.map(Scope.provide(Pool.get(pool), lease), (item) => {
      dialled = item
      return item
    })
    return Effect.andThen(
      Scope.addFinalizer(lease, returned),
      // A pool that shuts down interrupts those that wait for it.
      Effect.catchCause(taken, (cause) =>
        this.closed ? Effect.fail(ClientError.closed(server)) : Effect.failCause(cause)
      )
    )
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
