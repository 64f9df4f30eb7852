/** `/v1/stream`: upgrades a connection to a WebSocket. */
import type * as NodeHttp from "node:http"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type { Core } from "./Core.ts"
import * as Dispatcher from "./Dispatcher.ts"
import * as GatewayError from "./GatewayError.ts"
import * as Http from "./Http.ts"
import * as Problem from "./Problem.ts"
import type * as QueryRoutes from "./QueryRoutes.ts"
import * as StreamMessages from "./StreamMessages.ts"
import * as StreamSession from "./StreamSession.ts"

export interface Dependencies extends Pick<QueryRoutes.Dependencies, "identify"> {
  readonly dispatcher: Dispatcher.Dispatcher
  readonly stream: StreamSession.Settings
  readonly draining: Core["draining"]
}

const protocolsOf = (request: HttpServerRequest): ReadonlyArray<string> =>
  (request.headers["sec-websocket-protocol"] ?? "").split(",").map((name) => name.trim())

/** The credentials of a browser, which cannot set the header `Authorization`. */
const authorizationOf = (request: HttpServerRequest): string | undefined => {
  const token = protocolsOf(request)
    .find((name) => name.startsWith(StreamMessages.tokenPrefix))
    ?.slice(StreamMessages.tokenPrefix.length)
  return token === undefined ? undefined : `Bearer ${Buffer.from(token, "base64url").toString("utf8")}`
}

const path = "/v1/stream"

const targetPattern = new RegExp(`^(?:https?://[^/?#]*)?${path}/?(?:\\?|$)`, "i")

const isWebSocket = (upgrade: string | undefined): boolean => upgrade?.toLowerCase() === "websocket"

/**
 * Whether Node should hand over a connection: other requests with `Upgrade` are answered as if without it.
 */
export const isHandshake = ({
  headers,
  method,
  url = ""
}: Pick<NodeHttp.IncomingMessage, "headers" | "method" | "url">): boolean =>
  method === "GET" &&
  isWebSocket(headers.upgrade) &&
  targetPattern.test(url) &&
  headers["transfer-encoding"] === undefined &&
  (headers["content-length"] ?? "0") === "0"

/** A key of 16 bytes in base64. */
const keyPattern = /^[A-Za-z0-9+/]{22}==$/

/** A name of a subprotocol (RFC 9110 §5.6.2). */
const tokenPattern = /^[!#$%&'*+.^_`|~A-Za-z0-9-]+$/

const refusal = (
  { draining }: Dependencies,
  request: HttpServerRequest
): GatewayError.GatewayError | undefined => {
  if (draining.isOpen()) return Dispatcher.shuttingDown
  const { headers } = request
  if (!isWebSocket(headers["upgrade"])) {
    return GatewayError.make("upgrade_required", "This is a WebSocket: send Upgrade: websocket")
  }
  const version = headers["sec-websocket-version"]
  if (version !== Problem.webSocketVersion) {
    const problem = `Sec-WebSocket-Version: expected ${Problem.webSocketVersion}, not ${version ?? "none"}`
    return GatewayError.make("upgrade_required", problem)
  }
  if (!keyPattern.test(headers["sec-websocket-key"] ?? "")) {
    return GatewayError.badRequest("Sec-WebSocket-Key: expected 16 bytes in base64")
  }
  const names = protocolsOf(request)
  if (names[0] !== StreamMessages.subprotocol) {
    return GatewayError.badRequest(`Sec-WebSocket-Protocol: expected ${StreamMessages.subprotocol} first`)
  }
  return names.every((name) => tokenPattern.test(name)) && new Set(names).size === names.length
    ? undefined
    : GatewayError.badRequest("Sec-WebSocket-Protocol: expected names that differ, with commas between them")
}

const notUpgraded =
  "The connection cannot become a WebSocket: that takes Connection: Upgrade, no body, and no request before it that is under way"

export const make = (dependencies: Dependencies) =>
  HttpRouter.route("GET", path, (request: HttpServerRequest) =>
    Http.handled(
      Effect.gen(function* () {
        // First: a browser does not learn why a WebSocket was refused, so its client asks again without one.
        const identify = () => dependencies.identify(request, authorizationOf(request))
        const caller = identify()
        if (caller instanceof GatewayError.GatewayError) return yield* caller
        const refused = Http.problemOfParameters(request, []) ?? refusal(dependencies, request)
        if (refused !== undefined) return yield* refused
        const socket = yield* Effect.mapError(request.upgrade, () =>
          GatewayError.make("upgrade_required", notUpgraded)
        )
        const { socket: connection } = NodeHttpServerRequest.toIncomingMessage(
          request
        ) as NodeHttp.IncomingMessage
        yield* StreamSession.serve(socket, {
          dispatcher: dependencies.dispatcher,
          draining: dependencies.draining.await,
          settings: dependencies.stream,
          origin: Http.origin(request, caller),
          identify,
          connection
        })
        return HttpServerResponse.empty()
      })
    )
  )
