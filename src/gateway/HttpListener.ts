/**
 * The HTTP servers of a gateway: one for each of its addresses, with the limits of its settings.
 */
import * as Http from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpServerError from "effect/http/HttpServerError"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import type { HttpServerResponse } from "effect/http/HttpServerResponse"
import type * as Scope from "effect/Scope"
import * as Address from "../net/Address.ts"
import * as Listener from "../net/Listener.ts"
import type { GatewayConfig } from "./GatewayConfig.ts"

/** A duration for Node, which takes 0 for none. */
const millis = (duration: Duration.Duration): number =>
  Duration.isFinite(duration) ? Math.max(1, Math.round(Duration.toMillis(duration))) : 0

const create = (config: GatewayConfig): Http.Server => {
  const requestTimeout = millis(config.httpRequestTimeout)
  const server = Http.createServer({
    maxHeaderSize: config.httpMaxHeaderSize,
    requestTimeout,
    headersTimeout: requestTimeout,
    keepAliveTimeout: millis(config.httpIdleTimeout),
    highWaterMark: config.httpBufferSize,
    connectionsCheckingInterval: Math.min(30_000, requestTimeout === 0 ? 30_000 : requestTimeout),
    noDelay: true,
    keepAlive: true
  })
  server.maxConnections = config.httpMaxConnections
  return server
}

/** How long responses have for their last bytes once their queries have ended. */
const goodbye: Duration.Input = "2 seconds"

export type App = Effect.Effect<
  HttpServerResponse,
  HttpServerError.HttpServerError,
  HttpServerRequest | Scope.Scope
>

/** Listens on an address in the scope. Returns it with the port that the system chose. */
export const make = Effect.fnUntraced(function* (
  text: string,
  config: GatewayConfig,
  app: App
): Effect.fn.Return<Address.Address, Listener.ListenError | Address.AddressError, Scope.Scope> {
  const address = yield* Effect.fromResult(Address.fromInput(text))
  const server = create(config)
  const listen = address._tag === "Unix" ? { path: address.path } : { host: address.host, port: address.port }
  const http = yield* NodeHttpServer.make(() => server, { ...listen, gracefulShutdownTimeout: goodbye }).pipe(
    Effect.mapError(({ cause }) => new Listener.ListenError({ address: Address.format(address), cause }))
  )
  // Requests that never arrive whole would keep the server from closing.
  yield* Effect.addFinalizer(() => Effect.sync(() => server.closeAllConnections()))
  yield* http.serve(app)
  const bound = server.address()
  return bound !== null && typeof bound === "object" ? Address.tcp(bound.address, bound.port) : address
})
