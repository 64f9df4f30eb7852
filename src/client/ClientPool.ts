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
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import * as Spawner from "../loop/Spawner.ts"
import * as Timers from "../loop/Timers.ts"
import * as Address from "../net/Address.ts"
import * as Tcp from "../net/Tcp.ts"
import * as Transport from "../net/Transport.ts"
import type { Why } from "../protocol/ClientMachine.ts"
import * as Backoff from "./Backoff.ts"
import * as Client from "./Client.ts"
import * as ClientConnection from "./ClientConnection.ts"
import * as ClientFailure from "./ClientFailure.ts"
import * as Service from "./ClientService.ts"
import type { Exchange } from "./Exchange.ts"
import type { Dial, Made, Use } from "./PooledConnection.ts"
import * as PoolOptions from "./PoolOptions.ts"
import { Requests, type Supply } from "./Requests.ts"
import { type PoolSettings, poolDefaults } from "./Settings.ts"
import { Stalls } from "./Stalls.ts"

export { type PoolSettings, poolDefaults } from "./Settings.ts"

/**
 * Makes a client over sockets that `connect` makes, one when a request finds no connection that is free. The scope
 * owns them all: closing it breaks off what is in flight. `server` is what errors call the other end.
 *
 * **Details**
 *
 * A response has its connection until it has arrived, or its scope closes. Up to `maxConnections` are in flight,
 * and up to `maxQueuedRequests` wait, first come, first served. A request that was not sent because its connection
 * had ended in idleness is sent on another one, and so is one that a server which goes away has not begun: it says so
 * (PROTOCOL.md §2). Nothing else that was sent is sent again. A connection whose server has been silent for longer than
 * `heartbeatTolerance` is given no request.
 *
 * Connecting that fails fails a request, and all that wait if there is no other connection; it is tried again when a
 * request comes, after `reconnectDelay`, and ever later while it fails. A request that is given up takes the attempt to
 * connect with it.
 *
 * **Gotchas**
 *
 * `maxConnections` unfinished responses of one scope have all connections: another request of that scope waits
 * until `requestTimeout`. `Effect.scoped` around the use of each response avoids it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  connect: Effect.Effect<Socket.Socket, Socket.SocketError, Scope.Scope>,
  settings: Partial<PoolSettings> = {},
  server = "the server"
): Effect.Effect<Client.ClientService, never, Scope.Scope> =>
  overTransports(
    Effect.flatMap(connect, (socket) => Transport.fromSocket(socket)),
    settings,
    server
  )

/**
 * As {@link make}, over transports that `transport` opens. `ended` is told why a connection has ended, before the
 * request on it is.
 *
 * @category constructors
 * @since 0.1.0
 */
export const overTransports = Effect.fnUntraced(function* (
  transport: Transport.Open,
  settings: Partial<PoolSettings> = {},
  server = "the server",
  ended: (why: Why) => void = () => {}
): Effect.fn.Return<Client.ClientService, never, Scope.Scope> {
  const all: PoolSettings = { ...poolDefaults, ...settings }
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
  return Client.Client.of(Service.make(pool.requests, all))
})

interface Dependencies extends PoolOptions.Options, Backoff.Options {
  readonly transport: Transport.Open
  readonly ended: (why: Why) => void
  readonly timers: Timers.Timers
  /** Owns all connections. */
  readonly scope: Scope.Scope
  /** Runs effects in that scope. */
  readonly spawner: Spawner.Spawner
}

/** Makes connections for the requests that wait, and closes those that nobody uses. */
class Pool implements Supply, ClientConnection.Owner {
  readonly requests: Requests
  private readonly dependencies: Dependencies
  private readonly connections = new Map<ClientConnection.ClientConnection, Use>()
  /** How many of them are being closed. */
  private closing = 0
  private readonly stalls: Stalls<ClientConnection.ClientConnection>
  private readonly dials = new Set<Dial>()
  private readonly backoff: Backoff.Backoff
  /** Since when there has been no open connection. */
  private aloneSince = Number.NEGATIVE_INFINITY
  /** When requests that wait for a connection may be given one: after a failure, or for a response that has stalled. */
  private readonly reconnect: Timers.Deadline
  /** When the request that waits longest has waited for a connection for as long as connecting may take. */
  private readonly connectDeadline: Timers.Deadline
  /** When the connection that has been free for longest has been so for `idleTimeout`. */
  private readonly idleDeadline: Timers.Deadline

  constructor(dependencies: Dependencies) {
    const { options, timers } = dependencies
    this.dependencies = dependencies
    this.backoff = new Backoff.Backoff(dependencies)
    this.reconnect = timers.deadline(() => this.wanted())
    this.connectDeadline = timers.deadline(() => this.connectExpired())
    this.idleDeadline = timers.deadline(() => this.dropIdle())
    this.stalls = new Stalls(dependencies, () => this.connections.keys())
    this.requests = new Requests({ ...options, ...dependencies }, this)
  }

  /** Takes no request any more. */
  readonly close: Effect.Effect<void> = Effect.sync(() => {
    for (const deadline of [this.reconnect, this.connectDeadline, this.idleDeadline]) deadline.clear()
    this.requests.close(ClientFailure.closed(this.dependencies.options.server))
  })

  left(): number {
    return Math.max(0, this.room + this.closing)
  }

  /** How many connections may be made now. If negative, so many that are open are too many. */
  private get room(): number {
    const { connections, dependencies, stalls } = this
    // When it matters: readers that are fast cost nothing.
    if (connections.size >= dependencies.maxConnections + stalls.size) stalls.look(dependencies.timers.now())
    return dependencies.maxConnections + stalls.size - connections.size
  }

  /** Whether no request can hope for the end of another one. */
  private get isAlone(): boolean {
    return this.connections.size === this.closing
  }

  private get isBackingOff(): boolean {
    return this.dependencies.timers.now() < this.backoff.until
  }

  isOpen(): boolean {
    return !(this.isAlone && this.isBackingOff)
  }

  connecting(): number {
    return this.isAlone ? Number.POSITIVE_INFINITY : this.dials.size
  }

  wanted(): void {
    if (this.requests.wanting <= this.dials.size) return
    let again = Timers.never
    if (this.isBackingOff) {
      again = this.backoff.until
    } else {
      while (this.dials.size < this.requests.wanting && this.dials.size < this.room) this.connect()
    }
    this.reconnect.set(Math.min(again, this.relieve()))
    this.watchConnect()
  }

  /** Ends stalled responses for the requests that wait for others. When to look for more. */
  private relieve(): number {
    const waiting = this.requests.wanting - this.dials.size
    return waiting > 0 ? this.stalls.evict(this.dependencies.timers.now(), waiting) : Timers.never
  }

  unwanted(): void {
    for (const dial of [...this.dials].reverse()) {
      if (this.dials.size <= this.requests.wanting) return
      this.dials.delete(dial)
      dial.fiber?.interruptUnsafe()
    }
  }

  private connect(): void {
    const { options, scope, spawner, timers, transport } = this.dependencies
    const dial: Dial = { beganAt: timers.now(), fiber: undefined }
    this.dials.add(dial)
    const made = ClientConnection.make(transport, options, this).pipe(
      Effect.provideService(Timers.Shared, timers),
      Scope.provide(scope)
    )
    spawner.spawn(
      Effect.withFiber((fiber) => {
        if (!this.dials.has(dial)) return Effect.void
        dial.fiber = fiber
        // Not on the stack of the request that waits for it.
        return Effect.andThen(Effect.yieldNow, made).pipe(
          Effect.onExit((exit) => Effect.sync(() => this.connected(dial, exit))),
          Effect.exit,
          Effect.asVoid
        )
      })
    )
  }

  private connected(dial: Dial, exit: Made): void {
    const isWanted = this.dials.delete(dial)
    if (Exit.isFailure(exit)) {
      if (isWanted) this.failed(dial.beganAt, (next) => next.refuse(exit.cause))
    } else if (isWanted) {
      this.take(exit.value, dial)
    } else {
      // It was there before the word that nobody wants it any more.
      this.dependencies.spawner.spawn(exit.value.close)
    }
  }

  private take(connection: ClientConnection.ClientConnection, { beganAt }: Dial): void {
    const use: Use = { isNew: true, beganAt, freeSince: 0, isClosing: false }
    this.connections.set(connection, use)
    if (connection.why === undefined) {
      this.offer(connection, use)
    } else {
      const { why } = connection
      this.drop(connection, use)
      this.failed(beganAt, (next) => this.refuse(next, why))
    }
  }

  /** There is no connection for a request; nor for all others, if nothing else is left to hope for. */
  private failed(beganAt: number, end: (next: Exchange) => void): void {
    this.backoff.failed(beganAt, this.dependencies.timers.now())
    const { dials, requests } = this
    if (this.isAlone && dials.size === 0) requests.end(requests.size, end)
    else if (requests.wanting > dials.size) requests.end(1, end)
    this.wanted()
  }

  private watchConnect(): void {
    const since = this.requests.longestSince
    if (since === undefined || !this.isAlone || !(this.dials.size > 0 || this.isBackingOff)) return
    this.connectDeadline.set(this.connectLimit(since))
  }

  private connectLimit(since: number): number {
    return Math.max(since, this.aloneSince) + this.dependencies.options.connectTimeoutMillis
  }

  private connectExpired(): void {
    if (!this.isAlone) return
    const { options, timers } = this.dependencies
    const now = timers.now()
    const cause = Cause.fail(ClientFailure.connectTimedOut(options))
    // It would have failed a moment later.
    for (const { beganAt } of this.dials) {
      if (beganAt < now - options.connectTimeoutMillis / 2) this.backoff.failed(beganAt, now)
    }
    for (;;) {
      const since = this.requests.longestSince
      if (since === undefined || this.connectLimit(since) > now) break
      this.requests.end(1, (next) => next.refuse(cause))
    }
    this.unwanted()
    this.watchConnect()
  }

  freed(connection: ClientConnection.ClientConnection): void {
    const use = this.connections.get(connection)
    if (use === undefined) return
    use.isNew = false
    this.backoff.succeeded()
    if (this.stalls.ended(connection) && this.room + this.closing < 0) this.drop(connection, use)
    else this.offer(connection, use)
  }

  private offer(connection: ClientConnection.ClientConnection, use: Use): void {
    if (!this.requests.offer(connection)) return
    use.isNew = false
    use.freeSince = this.dependencies.timers.now()
    if (this.requests.longestFree === connection) this.watchIdle(use)
  }

  ended(connection: ClientConnection.ClientConnection, why: Why, unsent: Exchange | undefined): void {
    this.dependencies.ended(why)
    const use = this.connections.get(connection)
    if (use === undefined) return
    // A server that ends new connections would be tried without end.
    if (use.isNew) {
      if (unsent !== undefined) this.refuse(unsent, why)
      if (!connection.hasRead) this.backoff.failed(use.beganAt, this.dependencies.timers.now())
    } else if (unsent !== undefined) this.requests.again(unsent)
    this.drop(connection, use)
  }

  private drop(connection: ClientConnection.ClientConnection, use: Use): void {
    if (use.isClosing) return
    use.isClosing = true
    this.closing++
    if (this.isAlone) this.aloneSince = this.dependencies.timers.now()
    this.requests.withdraw(connection)
    this.stalls.ended(connection)
    const closed = Effect.sync(() => {
      // Only now another connection may be made.
      if (this.isAlone && this.room <= 0) this.aloneSince = this.dependencies.timers.now()
      this.connections.delete(connection)
      this.closing--
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

  private refuse(unsent: Exchange, why: Why): void {
    if (why._tag === "GoingAway") unsent.reject(why.payload)
    else unsent.refuse(Cause.fail(ClientFailure.beforeRequest(this.dependencies.options, why)))
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
