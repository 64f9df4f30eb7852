/**
 * A client of one DataConn server, over as many connections as its requests need.
 *
 * **When to use**
 *
 * In a service that runs several queries at a time, or lives longer than its server: connections that have
 * ended are replaced. It provides the service of `Client`, so that its users need no changes.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import * as Spawner from "../loop/Spawner.ts"
import * as Timers from "../loop/Timers.ts"
import * as Address from "../net/Address.ts"
import * as Tcp from "../net/Tcp.ts"
import * as Transport from "../net/Transport.ts"
import type { Why } from "../protocol/ClientMachine.ts"
import * as Client from "./Client.ts"
import * as Service from "./ClientService.ts"
import { Pool } from "./Pool.ts"
import * as PoolOptions from "./PoolOptions.ts"
import { over, type PoolSettings, poolDefaults } from "./Settings.ts"

export { type PoolSettings, poolDefaults } from "./Settings.ts"

/**
 * A pool whose server may also be reached in other ways.
 *
 * @category models
 * @since 0.1.0
 */
export interface PoolService extends Client.ClientService {
  /** Connects for waiting requests at once, whatever failed before: the server is known to answer. */
  readonly reachable: Effect.Effect<void>
}

/**
 * Makes a client over sockets of `connect`, opened when a request finds no free connection. The scope owns
 * all connections: closing it breaks off the responses in flight. `server` is the name of the server in
 * errors.
 *
 * **Details**
 *
 * A response occupies its connection until it has arrived, or its scope closes. Up to `maxConnections` are in
 * flight, and up to `maxQueuedRequests` wait, first come, first served. A request is sent on another
 * connection if it was not sent because its idle connection had ended, or if a server that is going away
 * reports that it has not started it (PROTOCOL.md §2). No other request is sent twice. Connections whose
 * server has been silent for longer than `heartbeatTolerance` get no requests.
 *
 * A failed connection attempt fails a request, and all waiting ones if there is no other connection. The next
 * request triggers another attempt, after `reconnectDelay` and with growing delays. With `waitForReady` those
 * requests continue to wait. A request that is interrupted also interrupts its connection attempt.
 *
 * **Gotchas**
 *
 * `maxConnections` unfinished responses of one scope occupy all connections: another request of that scope
 * waits until `requestTimeout`. `Effect.scoped` around the use of each response avoids it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  connect: Effect.Effect<Socket.Socket, Socket.SocketError, Scope.Scope>,
  settings: Partial<PoolSettings> = {},
  server = "the server"
): Effect.Effect<PoolService, never, Scope.Scope> =>
  overTransports(
    Effect.flatMap(connect, (socket) => Transport.fromSocket(socket)),
    settings,
    server
  )

/**
 * Like {@link make}, over transports that `transport` opens. `ended` is called with the reason why a
 * connection has ended and the number of other open ones, before its request ends.
 *
 * @category constructors
 * @since 0.1.0
 */
export const overTransports: (
  transport: Transport.Open,
  settings?: Partial<PoolSettings>,
  server?: string,
  ended?: (why: Why, left: number) => void
) => Effect.Effect<PoolService, never, Scope.Scope> = Effect.fnUntraced(function* (
  transport,
  settings = {},
  server = "the server",
  ended = () => {}
) {
  const all = over(poolDefaults, settings)
  const scope = yield* Scope.fork(yield* Effect.scope, "parallel")
  const timers = yield* Timers.use
  const pool = new Pool({
    transport,
    ended,
    ...PoolOptions.options(all, server),
    random: yield* Random.Random,
    timers,
    scope,
    spawner: yield* Scope.provide(Spawner.make, scope)
  })
  yield* Effect.addFinalizer(() => pool.close)
  return { ...Service.make(pool.requests, all), reachable: Effect.sync(() => pool.reachable()) }
})

/**
 * Makes a client of the server at an address, which connects at the first request.
 *
 * @category constructors
 * @since 0.1.0
 */
export const connect = <A extends Address.Input>(
  server: A,
  settings: Partial<PoolSettings> = {}
): Effect.Effect<PoolService, Address.ErrorOf<A>, Scope.Scope> =>
  Effect.gen(function* () {
    const address = yield* Effect.fromResult(Address.fromInput(server))
    return yield* overTransports(Tcp.connect({ address }), settings, Address.format(address))
  })

/**
 * Provides a client of the server at an address.
 *
 * **Example** (Queries side by side)
 *
 * ```ts
 * import { Client, ClientPool } from "dataconn"
 * import { Effect, Stream } from "effect"
 *
 * const size = Effect.fnUntraced(function* (table: string) {
 *   const client = yield* Client.Client
 *   const { chunks } = yield* client.query({ query: `FROM ${table}`, format: "application/vnd.apache.parquet" })
 *   return yield* Stream.runFold(chunks, () => 0, (bytes, chunk) => bytes + chunk.length)
 * }, Effect.scoped)
 *
 * export const sizes = Effect.forEach(["trades", "quotes"], size, { concurrency: "unbounded" }).pipe(
 *   Effect.provide(ClientPool.layerConnect("127.0.0.1:11653", { maxConnections: 4 }))
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConnect = <A extends Address.Input>(
  server: A,
  settings?: Partial<PoolSettings>
): Layer.Layer<Client.Client, Address.ErrorOf<A>> => Layer.effect(Client.Client, connect(server, settings))
