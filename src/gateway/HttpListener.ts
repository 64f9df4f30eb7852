/**
 * The HTTP servers of a gateway: one for each of its addresses, with the limits of its settings.
 */
import * as Http from "node:http"
import * as Https from "node:https"
import type * as Net from "node:net"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpServer from "effect/http/HttpServer"
import type * as HttpServerError from "effect/http/HttpServerError"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import type { HttpServerResponse } from "effect/http/HttpServerResponse"
import type * as Scope from "effect/Scope"
import * as Address from "../net/Address.ts"
import * as Listener from "../net/Listener.ts"
import * as UnixSocket from "../net/UnixSocket.ts"
import type { GatewayConfig } from "./GatewayConfig.ts"
import * as StreamSocket from "./StreamSocket.ts"

/** A duration for Node, which takes 0 for none. */
const millis = (duration: Duration.Duration): number =>
  Duration.isFinite(duration) ? Math.max(1, Math.round(Duration.toMillis(duration))) : 0

/** A certificate and its key, in PEM. */
export interface Tls {
  readonly cert: string
  readonly key: string
}

const create = (config: GatewayConfig, tls: Tls | undefined): Http.Server => {
  const requestTimeout = millis(config.httpRequestTimeout)
  const options = {
    maxHeaderSize: config.httpMaxHeaderSize,
    requestTimeout,
    headersTimeout: requestTimeout,
    keepAliveTimeout: millis(config.httpIdleTimeout),
    highWaterMark: config.httpBufferSize,
    connectionsCheckingInterval: Math.min(30_000, requestTimeout === 0 ? 30_000 : requestTimeout),
    noDelay: true,
    keepAlive: true
  }
  const server = tls === undefined ? Http.createServer(options) : Https.createServer({ ...options, ...tls })
  server.maxConnections = config.httpMaxConnections
  server.prependListener("connection", named)
  server.prependListener("secureConnection", named)
  return server
}

/**
 * Has a socket keep its peer's address, which the system knows no longer once the peer has gone. A peer that has gone
 * already is nobody to answer.
 */
const named = (socket: Net.Socket): void => {
  if (socket.remoteAddress === undefined && socket.localAddress !== undefined) socket.destroy()
}

/** How long responses have for their last bytes once their queries have ended. */
const goodbye: Duration.Input = "2 seconds"

/** The same where nobody is to be waited for. */
export const hastyGoodbye: Duration.Input = "200 millis"

export type App = Effect.Effect<
  HttpServerResponse,
  HttpServerError.HttpServerError,
  HttpServerRequest | Scope.Scope
>

const listenError = (address: string, cause: unknown): Listener.ListenError =>
  new Listener.ListenError({ address, setting: "http", cause })

/**
 * What all of the servers have. A message of a WebSocket is as long as a body at most. The list of WebSockets is not kept:
 * a server with one waits for clients that may never answer a close.
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
 * How to end the connections that a server has from now on, however far they are: Node's own list has neither WebSockets
 * nor connections whose TLS handshake is under way.
 */
const ending = (server: Http.Server): (() => void) => {
  const open = new Set<Net.Socket>()
  server.on("connection", (socket: Net.Socket) => {
    open.add(socket)
    socket.once("close", () => open.delete(socket))
  })
  return () => {
    for (const socket of open) socket.destroy()
  }
}

type Listening = Effect.Effect<HttpServer.HttpServer["Service"], Listener.ListenError, Scope.Scope>

/** Listens at a path that no other server has, with its permissions before anybody can connect. */
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

/** What strangers can do at an address, if they can reach it. */
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
  /** Where it listens, with the port that the system chose. */
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
  const address = yield* Effect.fromResult(Address.fromInput(text))
  const server = create(config, tls)
  const end = ending(server)
  const http = yield* address._tag === "Unix"
    ? Effect.uninterruptible(listenUnix(server, address.path, config))
    : listenTcp(server, address, config)
  // What a client never ends would keep the server from closing.
  yield* Effect.addFinalizer(() => Effect.sync(end))
  yield* http.serve(app)
  const bound = server.address()
  const isTcp = address._tag === "Tcp" && bound !== null && typeof bound === "object"
  return { address: isTcp ? Address.tcp(bound.address, bound.port) : address, end }
})
