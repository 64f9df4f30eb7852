/**
 * The server: listens on its addresses and serves each connection within the limits of its configuration.
 */
import type * as Net from "node:net"
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import * as Given from "../engine/Given.ts"
import { QueryEngine } from "../engine/QueryEngine.ts"
import * as Spawner from "../loop/Spawner.ts"
import * as Address from "../net/Address.ts"
import * as Listener from "../net/Listener.ts"
import * as MemoryTransport from "../net/MemoryTransport.ts"
import * as RemoteAddress from "../net/RemoteAddress.ts"
import * as Tcp from "../net/Tcp.ts"
import type * as Transport from "../net/Transport.ts"
import * as Connections from "./Connections.ts"
import * as DeadPaths from "./DeadPaths.ts"
import * as FileLimit from "./FileLimit.ts"
import * as ServerConfig from "./ServerConfig.ts"
import * as Settings from "./Settings.ts"
import * as Signals from "./Signals.ts"

export { ListenError } from "../net/Listener.ts"

/**
 * A running server.
 *
 * @category services
 * @since 0.1.0
 */
export interface ServerService {
  /**
   * The addresses that it listens on, in the order of the configuration, with the ports that the system
   * chose.
   */
  readonly addresses: ReadonlyArray<Address.Address>
  /** The number of open connections. */
  readonly connections: Effect.Effect<number>
  /**
   * Changes the limits without dropping connections. Limits of all connections and queries together apply at
   * once, those of one connection apply to new connections. The listeners do not change (`listen`, `backlog`,
   * `socketMode`, `keepAlive`). Dies with a `RangeError` that names a setting with an invalid value.
   */
  readonly reload: (options: ServerConfig.Options) => Effect.Effect<void>
  /** Opens a connection within the process, which counts and is served like any other. */
  readonly connect: Transport.Open
  /**
   * Stops the server for its clients, as closing the scope does, and returns when their connections have ended
   * or `drainTimeout` is over. Connections of {@link connect} are opened and served until the scope closes: a
   * gateway in front of the server drains side by side with it.
   */
  readonly drain: Effect.Effect<void>
  /** Stops waiting for responses, if the server is stopping or once it does. */
  readonly stopNow: Effect.Effect<void>
}

/**
 * The service of a running server; see {@link ServerService}.
 *
 * @category services
 * @since 0.1.0
 */
export class Server extends Context.Service<Server, ServerService>()("dataconn/server/Server") {}

/** See `Admission.Limits`. */
const maxRefusals = 64

/**
 * Starts a server in the scope. Closing the scope stops it: it accepts no more connections, closes idle ones,
 * lets running responses finish within `drainTimeout` and ends the rest with an error.
 *
 * **Details**
 *
 * Queries go to the `QueryEngine` of the context. `ConnectionEvents`, if provided, is notified of every step.
 * Fails with a `ListenError` if the server cannot listen on one of its addresses. Dies with a `RangeError`
 * that names a setting with an invalid value.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  options: ServerConfig.Options = {}
): Effect.fn.Return<ServerService, Listener.ListenError | Address.AddressError, QueryEngine | Scope.Scope> {
  let config = ServerConfig.make(options)
  const spawner = yield* Spawner.make
  const drop = yield* dismissal(spawner, config.lingerTimeout, () =>
    FileLimit.dismissals(config.maxConnections)
  )
  const connections = yield* Connections.make({ ...config, maxRefusals })
  const paths = yield* DeadPaths.make(config.peerTimeout)
  // One function shared by all sockets.
  const gone = function (this: Net.Socket) {
    paths.forget(this)
  }
  yield* FileLimit.check(config.maxConnections)
  const engine = Given.engine(yield* QueryEngine)
  if (engine.expect !== undefined) {
    yield* Given.effect("expect", engine.expect(config.maxConcurrentQueries))
  }
  const addresses: Array<Address.Address> = []
  const listeners: Array<Listener.Listener> = []
  for (const text of config.listen) {
    const address = yield* Effect.fromResult(Address.fromInput(text, "listen"))
    if (!Address.isLocal(address)) yield* warnOfStrangers(text)
    const listening: Listening = { address, linger: config.lingerTimeout, drop }
    const listener = yield* Listener.make({
      address,
      backlog: config.backlog,
      socketMode: config.socketMode,
      keepAlive: config.keepAlive,
      onConnection: (socket) => {
        if (address._tag === "Tcp") {
          paths.watch(socket)
          socket.on("close", gone)
        }
        connections.accept(new SocketArrival(socket, listening))
      },
      onAcceptError: (error) =>
        spawner.spawn(Effect.logError(`Error (${error.message}) accepting on ${Address.format(address)}`))
    })
    // With the port that the system chose.
    listening.address = listener.address
    yield* Effect.logInfo(`Opening DataConn socket on ${Address.format(listener.address)}...`)
    addresses.push(listener.address)
    listeners.push(listener)
  }

  const connect = Effect.suspend(() => {
    const [near, far, drop] = MemoryTransport.pair()
    connections.accept({
      transport: far,
      address: RemoteAddress.internal,
      endpoints: (id) => ({ local: RemoteAddress.internal, remote: `${RemoteAddress.internal}#${id}` }),
      drop
    })
    return near
  })
  return Server.of({
    addresses,
    connections: connections.size,
    connect,
    reload: (options) =>
      Effect.sync(() => {
        const next = ServerConfig.make(options)
        // Throws for invalid limits.
        Settings.limits(next)
        config = next
        connections.reload({ ...next, maxRefusals })
      }),
    drain: Effect.andThen(
      Effect.forEach(listeners, ({ stop }) => stop, { discard: true }),
      connections.drainClients
    ),
    stopNow: connections.stopNow
  })
})

const warnOfStrangers = (address: string): Effect.Effect<void> =>
  Effect.logWarning(
    `${address} can be reached from beyond this machine, and the server has neither login nor encryption: ` +
      "whoever gets there may ask. Keep it to a private network"
  )

/**
 * Writes the goodbye to connections that are not admitted, and closes them: normally, unless there are too
 * many of them.
 */
const dismissal = Effect.fnUntraced(function* (
  spawner: Spawner.Spawner,
  linger: Duration.Duration,
  most: () => number
): Effect.fn.Return<Listening["drop"], never, Scope.Scope> {
  const sockets = new Set<Net.Socket>()
  yield* Effect.addFinalizer(() => Effect.sync(() => sockets.forEach((socket) => void socket.destroySoon())))
  return (socket, words) => {
    if (sockets.size >= most()) {
      socket.write(words)
      socket.destroySoon()
      return
    }
    sockets.add(socket)
    const gone = Effect.sync(() => sockets.delete(socket))
    spawner.spawn(Effect.ensuring(Tcp.dismiss(socket, words, linger), gone))
  }
})

/** Shared by the sockets of one address. */
interface Listening {
  address: Address.Address
  readonly linger: Duration.Duration
  readonly drop: (socket: Net.Socket, words: Uint8Array) => void
}

class SocketArrival implements Connections.Arrival {
  readonly address: string
  private readonly socket: Net.Socket
  private readonly listening: Listening

  constructor(socket: Net.Socket, listening: Listening) {
    this.socket = socket
    this.listening = listening
    this.address =
      listening.address._tag === "Unix" ? RemoteAddress.unix : RemoteAddress.of(socket.remoteAddress)
  }

  get transport(): Transport.Open {
    return Tcp.fromSocket(this.socket, this.listening)
  }

  endpoints(id: number): ReturnType<Connections.Arrival["endpoints"]> {
    const { address } = this.listening
    const { localAddress, localPort, remoteAddress, remotePort } = this.socket
    return address._tag === "Unix"
      ? { local: Address.format(address), remote: `unix#${id}` }
      : {
          // The kernel no longer knows the address of a peer that closed before it was read.
          local: Address.formatTcp(localAddress ?? address.host, localPort ?? address.port),
          remote: remoteAddress === undefined ? "unknown" : Address.formatTcp(remoteAddress, remotePort ?? 0)
        }
  }

  drop(words: Uint8Array): void {
    this.listening.drop(this.socket, words)
  }
}

/**
 * A server with these settings, on the `QueryEngine` of the context; see {@link make}.
 *
 * **Example** (Serving an engine until the process is interrupted)
 *
 * ```ts
 * import { NodeRuntime } from "@effect/platform-node"
 * import { Server } from "dataconn"
 * import { DuckDbEngine } from "dataconn/duckdb"
 * import { Layer } from "effect"
 *
 * Server.layer({ listen: ["127.0.0.1:11653", "unix:/run/dataconn.sock"], maxConcurrentQueries: 3 }).pipe(
 *   Layer.provide(DuckDbEngine.layer({ database: "market.duckdb" })),
 *   Server.stopsOnSecondSignal,
 *   Layer.launch,
 *   NodeRuntime.runMain({ teardown: Server.teardown })
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options?: ServerConfig.Options
): Layer.Layer<Server, Listener.ListenError | Address.AddressError, QueryEngine> =>
  Layer.effect(Server, make(options))

/**
 * A server with the settings of Effect's Config: by default those of the environment, such as
 * `DATACONN_HEARTBEAT_INTERVAL`. A provided `ConfigProvider` is asked for a setting under its own name,
 * `heartbeatInterval`, and then under its name in the environment.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig: Layer.Layer<
  Server,
  Listener.ListenError | Address.AddressError | Config.ConfigError,
  QueryEngine
> = Layer.effect(
  Server,
  Effect.gen(function* () {
    return yield* make(yield* ServerConfig.load)
  })
)

/**
 * The same layer, for a program that SIGINT or SIGTERM interrupts, such as one that `NodeRuntime.runMain`
 * runs. After a second signal the server waits for no more responses, and a third ends the process.
 *
 * **Details**
 *
 * Applied to a layer that includes its engine, it also handles signals while the engine opens and closes.
 * Without it a second signal does nothing, and the server stops when its responses have ended or
 * `drainTimeout` is over. SIGQUIT is handled by the command only.
 *
 * **Example** (Stopping as the command does)
 *
 * ```ts
 * import { NodeRuntime } from "@effect/platform-node"
 * import { Server } from "dataconn"
 * import { DuckDbEngine } from "dataconn/duckdb"
 * import { Layer } from "effect"
 *
 * Server.layer({ drainTimeout: "5 minutes" }).pipe(
 *   Layer.provide(DuckDbEngine.layer({ database: "market.duckdb" })),
 *   Server.stopsOnSecondSignal,
 *   Layer.launch,
 *   NodeRuntime.runMain({ teardown: Server.teardown })
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const stopsOnSecondSignal = <A, E, R>(
  layer: Layer.Layer<Server | A, E, R>
): Layer.Layer<Server | A, E, R> => Signals.stopsOnSecond(Server, layer)

/**
 * For `NodeRuntime.runMain`: a program that a signal has stopped exits with 0, as the command does, and not
 * with 130, which supervisors treat as a failure.
 *
 * @category running
 * @since 0.1.0
 */
export const teardown: Runtime.Teardown = Signals.teardown
