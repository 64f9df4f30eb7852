/**
 * The HTTP servers of a gateway: one for each of its addresses, with the limits of its settings.
 */
import * as Http from "node:http"
import * as Https from "node:https"
import type * as Net from "node:net"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpServer from "effect/http/HttpServer"
import type * as HttpServerError from "effect/http/HttpServerError"
import { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Scope from "effect/Scope"
import * as Spawner from "../loop/Spawner.ts"
import * as Address from "../net/Address.ts"
import * as Listener from "../net/Listener.ts"
import * as UnixSocket from "../net/UnixSocket.ts"
import type { GatewayConfig } from "./GatewayConfig.ts"
import * as GatewayError from "./GatewayError.ts"
import * as HttpRequests from "./Http.ts"
import * as HttpRefusals from "./HttpRefusals.ts"
import * as StreamRoute from "./StreamRoute.ts"
import * as StreamSocket from "./StreamSocket.ts"

/** A duration for Node, for which 0 means no limit. */
const millis = (duration: Duration.Duration): number =>
  Duration.isFinite(duration) ? Math.max(1, Math.round(Duration.toMillis(duration))) : 0

/** The maximum duration of a TLS handshake, in milliseconds. */
const longestHandshake = 120_000

/** The number of connections beyond `httpMaxConnections` that get an error at a time. */
const mostTurnedAway = 16

/** A certificate and its key, in PEM. */
export interface Tls {
  readonly cert: string
  readonly key: string
}

/** The interval of Node's check for requests that take too long, which is how late the timeout may be. */
export const checkingInterval = (requestTimeout: number): number =>
  requestTimeout === 0 ? 30_000 : Math.min(1000, Math.max(100, Math.round(requestTimeout / 10)))

/** Whether a connection is to become a WebSocket. */
const isUpgraded = (request: Http.IncomingMessage): boolean =>
  StreamRoute.isHandshake(request) && !HttpRefusals.isBusy(request.socket)

const create = (config: GatewayConfig, tls: Tls | undefined): Http.Server => {
  const requestTimeout = millis(config.httpRequestTimeout)
  const options = {
    maxHeaderSize: config.httpMaxHeaderSize,
    requestTimeout,
    headersTimeout: requestTimeout,
    keepAliveTimeout: millis(config.httpIdleTimeout),
    highWaterMark: config.httpBufferSize,
    connectionsCheckingInterval: checkingInterval(requestTimeout),
    // The application checks this header.
    requireHostHeader: false,
    shouldUpgradeCallback: isUpgraded,
    noDelay: true,
    keepAlive: true
  }
  const handshakeTimeout = Math.min(longestHandshake, requestTimeout || longestHandshake)
  const server =
    tls === undefined
      ? Http.createServer(options)
      : Https.createServer({ ...options, ...tls, handshakeTimeout })
  server.maxConnections = config.httpMaxConnections + mostTurnedAway
  server.prependListener("connection", named)
  server.prependListener("secureConnection", named)
  closeSilent(server)
  return server
}

/**
 * Closes connections that bring no request after the server's timeout for idle ones, which Node applies after
 * the first response only. A request that has begun has its own timeout.
 */
const closeSilent = (server: Http.Server): void => {
  const { keepAliveTimeout, requestTimeout } = server
  const silent = new WeakSet<Net.Socket>()
  server.on(established(server), (socket: Net.Socket) => {
    silent.add(socket)
    socket.setTimeout(keepAliveTimeout)
  })
  server.prependListener("request", ({ socket }) => {
    if (silent.delete(socket)) socket.setTimeout(0)
  })
  const comesFirst = requestTimeout === 0 || keepAliveTimeout < requestTimeout
  server.on("timeout", (socket: Net.Socket) => {
    if (!(comesFirst && silent.has(socket) && socket.bytesRead > 0)) socket.destroy()
  })
}

/** The event of a connection that brings requests: with TLS, they come from another socket. */
const established = (server: Http.Server): "connection" | "secureConnection" =>
  server instanceof Https.Server ? "secureConnection" : "connection"

/**
 * Makes a socket keep its peer's address, which the system no longer knows once the peer has closed. A peer
 * that has closed already needs no answer.
 */
const named = (socket: Net.Socket): void => {
  if (socket.remoteAddress === undefined && socket.localAddress !== undefined) socket.destroy()
}

/** How long responses have for their last bytes once their queries have ended. */
const goodbye: Duration.Input = "2 seconds"

/** The same for a stop without waiting. */
export const hastyGoodbye: Duration.Input = "200 millis"

export type App = Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  HttpServerError.HttpServerError,
  HttpServerRequest | Scope.Scope
>

const listenError = (address: string, cause: unknown): Listener.ListenError =>
  new Listener.ListenError({ address, setting: "http", cause })

/**
 * The options of all servers. A message of a WebSocket is at most as long as a body. The list of WebSockets
 * is not kept: a server with one waits for clients that may never answer a close.
 */
const common = (config: GatewayConfig) => {
  const maxPayload = StreamSocket.maxMessageSize(config)
  return {
    gracefulShutdownTimeout: goodbye,
    websocket: {
      WebSocket: StreamSocket.make(maxPayload),
      maxPayload,
      perMessageDeflate: false,
      clientTracking: false,
      closeTimeout: Duration.toMillis(goodbye)
    }
  }
}

/**
 * All connections of a server from now on, in any phase: Node's own list has neither WebSockets nor
 * handshakes.
 */
class Connections {
  private readonly open = new Set<Net.Socket>()
  /** Connections beyond the limit, until their first request. */
  private readonly crowd = new Set<Net.Socket>()

  constructor(server: Http.Server, { httpMaxConnections }: GatewayConfig, spawner: Spawner.Spawner) {
    server.on("connection", (socket: Net.Socket) => {
      this.open.add(socket)
      socket.once("close", () => this.open.delete(socket))
    })
    server.on(established(server), (socket: Net.Socket) => {
      if (this.open.size <= httpMaxConnections) return
      this.crowd.add(socket)
      socket.once("close", () => this.crowd.delete(socket))
      spawner.spawn(HttpRefusals.parting(socket))
    })
  }

  /** The application, for connections within the limit. */
  admitting(app: App): App {
    const { crowd } = this
    const refused = Effect.map(
      HttpRequests.handled(Effect.fail(full)),
      HttpServerResponse.setHeader("connection", "close")
    )
    const looked = Effect.flatMap(HttpServerRequest, (request) =>
      crowd.has(HttpRequests.incoming(request).socket) ? refused : app
    )
    return Effect.suspend(() => (crowd.size === 0 ? app : looked))
  }

  /** Ends all of them. */
  end(): void {
    for (const socket of this.open) socket.destroy()
  }
}

const full = GatewayError.make("overloaded", "The gateway has httpMaxConnections connections already", {
  retryable: true
})

type Listening = Effect.Effect<HttpServer.HttpServer["Service"], Listener.ListenError, Scope.Scope>

/** Listens at a path that no other server uses, with its permissions set before any client can connect. */
const listenUnix = (server: Http.Server, path: string, config: GatewayConfig): Listening => {
  const failed = (cause: unknown) => listenError(`unix:${path}`, cause)
  return Effect.acquireUseRelease(
    Effect.try({ try: () => UnixSocket.stage(path), catch: failed }),
    (staged) =>
      Effect.gen(function* () {
        const options = { path: staged.path, ...common(config) }
        const http = yield* Effect.mapError(
          NodeHttpServer.make(() => server, options),
          ({ cause }) => failed(cause)
        )
        const own = yield* Effect.mapError(UnixSocket.publish(staged, path, config.socketMode), failed)
        yield* Effect.addFinalizer(() => Effect.sync(() => UnixSocket.withdraw(path, own)))
        return http
      }),
    (staged) => Effect.sync(() => UnixSocket.discard(staged))
  )
}

const listenTcp = (
  server: Http.Server,
  { host, port }: { readonly host: string; readonly port: number },
  config: GatewayConfig
): Listening =>
  Effect.mapError(
    NodeHttpServer.make(() => server, { host, port, ...common(config) }),
    ({ cause }) => listenError(Address.formatTcp(host, port), cause)
  )

/** The warning about an address that other hosts can reach, if any. */
export const exposure = (
  address: Address.Address,
  { hasTls, hasTokens }: { readonly hasTls: boolean; readonly hasTokens: boolean }
): string | undefined => {
  if (Address.isLocal(address) || (hasTls && hasTokens)) return undefined
  const risks = [
    ...(hasTokens ? [] : ["without httpTokens whoever gets there may ask"]),
    ...(hasTls ? [] : ["without httpCertificate whoever is on the way can read and change what is sent"])
  ]
  return (
    `HTTP on ${Address.format(address)} can be reached from beyond this machine: ${risks.join(", and ")}. ` +
    "Keep it to a private network"
  )
}

export interface HttpListener {
  /** The address, with the port that the system chose. */
  readonly address: Address.Address
  /** Ends all connections at once. */
  readonly end: () => void
}

/** Listens on an address in the scope. */
export const make = Effect.fnUntraced(function* (
  text: string,
  config: GatewayConfig,
  tls: Tls | undefined,
  app: App
): Effect.fn.Return<HttpListener, Listener.ListenError | Address.AddressError, Scope.Scope> {
  const address = yield* Effect.fromResult(Address.fromInput(text, "http"))
  const spawner = yield* Spawner.make
  const server = create(config, tls)
  HttpRefusals.install(server, { limits: config, clock: yield* Clock.Clock, spawner })
  const connections = new Connections(server, config, spawner)
  const end = () => connections.end()
  const http = yield* address._tag === "Unix"
    ? Effect.uninterruptible(listenUnix(server, address.path, config))
    : listenTcp(server, address, config)
  // A request that its client never ends would keep the server from closing.
  yield* Effect.addFinalizer(() => Effect.sync(end))
  yield* http.serve(connections.admitting(app))
  const bound = server.address()
  const isTcp = address._tag === "Tcp" && bound !== null && typeof bound === "object"
  return { address: isTcp ? Address.tcp(bound.address, bound.port) : address, end }
})
