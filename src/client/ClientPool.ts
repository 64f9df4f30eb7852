/**
 * A client of one DataConn server, over as many connections as its requests need.
 *
 * **When to use**
 *
 * In a service that runs several queries at a time, or lives longer than its server: a connection that has ended is
 * replaced. It provides the service of `Client`, so that what uses that need not know.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import * as Spawner from "../loop/Spawner.ts"
import * as Timers from "../loop/Timers.ts"
import * as Address from "../net/Address.ts"
import * as Tcp from "../net/Tcp.ts"
import * as Transport from "../net/Transport.ts"
import type { Why } from "../protocol/ClientMachine.ts"
import * as Limit from "../settings/Limit.ts"
import * as Client from "./Client.ts"
import * as ClientConnection from "./ClientConnection.ts"
import type * as ClientError from "./ClientError.ts"
import * as ClientFailure from "./ClientFailure.ts"
import * as Service from "./ClientService.ts"
import type { Exchange } from "./Exchange.ts"
import { Requests, type Supply } from "./Requests.ts"
import { type PoolSettings, poolDefaults } from "./Settings.ts"

export { type PoolSettings, poolDefaults } from "./Settings.ts"

/**
 * Makes a client over sockets that `connect` makes, one when a request finds no connection that is free. The scope
 * owns them all: closing it breaks off what is in flight. `server` is what errors call the other end.
 *
 * **Details**
 *
 * A response has its connection until it has arrived, or its scope closes. Up to `maxConnections` are in flight,
 * and up to `maxQueuedRequests` wait, first come, first served. A request that was not sent because its connection
 * had ended in idleness is sent on another one. Nothing that was sent is sent again.
 *
 * **Gotchas**
 *
 * `maxConnections` unfinished responses of one scope have all connections: another request of that scope waits
 * forever. `Effect.scoped` around the use of each response avoids it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  connect: Effect.Effect<Socket.Socket, Socket.SocketError, Scope.Scope>,
  settings: Partial<PoolSettings> = {},
  server = "the server"
): Effect.Effect<Client.ClientService, never, Scope.Scope> =>
  makeOver(
    Effect.flatMap(connect, (socket) => Transport.fromSocket(socket)),
    settings,
    server
  )

const makeOver = Effect.fnUntraced(function* (
  transport: Transport.Open,
  settings: Partial<PoolSettings>,
  server: string
): Effect.fn.Return<Client.ClientService, never, Scope.Scope> {
  const all: PoolSettings = { ...poolDefaults, ...settings }
  const scope = yield* Scope.fork(yield* Effect.scope, "parallel")
  const timers = yield* Timers.use
  const pool = new Pool({
    transport,
    options: ClientConnection.options(all, server),
    maxConnections: Limit.count("maxConnections", all.maxConnections, 1),
    maxQueuedRequests: all.maxQueuedRequests,
    maxRequestSize: all.maxRequestSize,
    idleTimeoutMillis: Limit.millis("idleTimeout", all.idleTimeout),
    timers,
    scope,
    spawner: yield* Scope.provide(Spawner.make, scope)
  })
  yield* Effect.addFinalizer(() => pool.close)
  return Client.Client.of(Service.make(pool.requests))
})

interface Dependencies {
  readonly transport: Transport.Open
  readonly options: ClientConnection.Options
  readonly maxConnections: number
  readonly maxQueuedRequests: number
  readonly maxRequestSize: number
  readonly idleTimeoutMillis: number
  readonly timers: Timers.Timers
  /** Owns all connections. */
  readonly scope: Scope.Scope
  /** Runs effects in that scope. */
  readonly spawner: Spawner.Spawner
}

/** What the pool knows of a connection. */
interface Use {
  /** Whether no request has been sent on it yet, nor could have been for a while. */
  isNew: boolean
  /** When it last had nothing to do, in milliseconds of the timers. */
  freeSince: number
  isClosing: boolean
}

/** Makes connections for the requests that wait, and closes those that nobody uses. */
class Pool implements Supply, ClientConnection.Owner {
  readonly requests: Requests
  private readonly dependencies: Dependencies
  private readonly connections = new Map<ClientConnection.ClientConnection, Use>()
  private connecting = 0
  /** When the connection that has been free for longest has been so for `idleTimeout`. */
  private readonly idleDeadline: Timers.Deadline

  constructor(dependencies: Dependencies) {
    const { maxQueuedRequests, maxRequestSize, options } = dependencies
    this.dependencies = dependencies
    this.idleDeadline = dependencies.timers.deadline(() => this.dropIdle())
    this.requests = new Requests({ server: options.server, maxQueuedRequests, maxRequestSize }, this)
  }

  /** Takes no request any more. */
  readonly close: Effect.Effect<void> = Effect.sync(() => {
    this.idleDeadline.clear()
    this.requests.close(ClientFailure.closed(this.dependencies.options.server))
  })

  left(): number {
    return this.dependencies.maxConnections - this.connections.size
  }

  wanted(): void {
    while (this.connecting < this.requests.size && this.connecting < this.left()) this.connect()
  }

  private connect(): void {
    const { options, scope, spawner, timers, transport } = this.dependencies
    this.connecting++
    const made = ClientConnection.make(transport, options, this).pipe(
      Effect.provideService(Timers.Shared, timers),
      Scope.provide(scope)
    )
    // Not on the stack of the request that waits for it.
    spawner.spawn(
      Effect.map(Effect.exit(Effect.andThen(Effect.yieldNow, made)), (exit) => this.connected(exit))
    )
  }

  private connected(exit: Exit.Exit<ClientConnection.ClientConnection, ClientError.ClientError>): void {
    this.connecting--
    if (Exit.isFailure(exit)) {
      this.requests.refuseNext(exit.cause)
      this.wanted()
      return
    }
    const connection = exit.value
    const use: Use = { isNew: true, freeSince: 0, isClosing: false }
    this.connections.set(connection, use)
    if (connection.why === undefined) {
      this.offer(connection, use)
    } else {
      this.requests.refuseNext(this.notSent(connection.why))
      this.drop(connection, use)
    }
  }

  freed(connection: ClientConnection.ClientConnection): void {
    const use = this.connections.get(connection)
    if (use === undefined) return
    use.isNew = false
    this.offer(connection, use)
  }

  private offer(connection: ClientConnection.ClientConnection, use: Use): void {
    if (!this.requests.offer(connection)) return
    use.isNew = false
    use.freeSince = this.dependencies.timers.now()
    if (this.requests.longestFree === connection) this.watchIdle(use)
  }

  ended(connection: ClientConnection.ClientConnection, why: Why, unsent: Exchange | undefined): void {
    const use = this.connections.get(connection)
    if (use === undefined) return
    // A server that ends new connections would be tried without end.
    if (use.isNew) unsent?.refuse(this.notSent(why))
    else if (unsent !== undefined) this.requests.again(unsent)
    this.drop(connection, use)
  }

  private drop(connection: ClientConnection.ClientConnection, use: Use): void {
    if (use.isClosing) return
    use.isClosing = true
    this.requests.withdraw(connection)
    const closed = Effect.sync(() => {
      this.connections.delete(connection)
      this.wanted()
    })
    this.dependencies.spawner.spawn(Effect.andThen(connection.close, closed))
  }

  private watchIdle(use: Use): void {
    this.idleDeadline.set(use.freeSince + this.dependencies.idleTimeoutMillis)
  }

  /** Closes connections that have been free for too long, and looks again when the next one may have been. */
  private dropIdle(): void {
    const { idleTimeoutMillis, timers } = this.dependencies
    for (;;) {
      const connection = this.requests.longestFree
      const use = connection && this.connections.get(connection)
      if (connection === undefined || use === undefined) return
      if (use.freeSince + idleTimeoutMillis > timers.now()) {
        this.watchIdle(use)
        return
      }
      this.drop(connection, use)
    }
  }

  private notSent(why: Why): Cause.Cause<ClientError.ClientError> {
    return Cause.fail(ClientFailure.beforeRequest(this.dependencies.options, why))
  }
}

/**
 * Makes a client of the server at an address, which connects when the first request comes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const connect = <A extends Address.Input>(
  server: A,
  settings: Partial<PoolSettings> = {}
): Effect.Effect<Client.ClientService, Address.ErrorOf<A>, Scope.Scope> =>
  Effect.gen(function* () {
    const address = yield* Effect.fromResult(Address.fromInput(server))
    const timeout = Limit.duration("connectTimeout", settings.connectTimeout ?? poolDefaults.connectTimeout)
    return yield* makeOver(Tcp.connect({ address, timeout }), settings, Address.format(address))
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
