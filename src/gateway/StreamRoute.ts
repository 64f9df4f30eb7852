/**
 * `/v1/stream`: takes a WebSocket over.
 */
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

const refusal = (
  { draining }: Dependencies,
  request: HttpServerRequest
): GatewayError.GatewayError | undefined => {
  if (draining.isOpen()) return Dispatcher.shuttingDown
  if (request.headers["upgrade"]?.toLowerCase() !== "websocket") {
    return GatewayError.make("upgrade_required", "This is a WebSocket: send Upgrade: websocket")
  }
  return protocolsOf(request)[0] === StreamMessages.subprotocol
    ? undefined
    : GatewayError.badRequest(`Sec-WebSocket-Protocol: expected ${StreamMessages.subprotocol} first`)
}

export const make = (dependencies: Dependencies) =>
  HttpRouter.route("GET", "/v1/stream", (request: HttpServerRequest) =>
    Http.handled(
      Effect.gen(function* () {
        // First: a browser, which is not told why it gets no WebSocket, asks again without one.
        const identify = () => dependencies.identify(request, authorizationOf(request))
        const caller = identify()
        if (caller instanceof GatewayError.GatewayError) return yield* caller
        const refused = refusal(dependencies, request)
        if (refused !== undefined) return yield* refused
        const socket = yield* Effect.mapError(request.upgrade, () =>
          GatewayError.make("upgrade_required", "The connection cannot become a WebSocket")
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
