/**
 * What the routes share: the body of a request within its limit, the caller, and errors as problems.
 */
import type * as NodeHttp from "node:http"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as ByteSize from "effect/ByteSize"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import type * as HttpServerError from "effect/http/HttpServerError"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type { Caller } from "./Caller.ts"
import type { Origin } from "./Dispatcher.ts"
import * as GatewayError from "./GatewayError.ts"
import * as Metrics from "./Metrics.ts"
import * as Problem from "./Problem.ts"

type Response = HttpServerResponse.HttpServerResponse

/** A response in JSON that nobody keeps. */
export const json = (body: unknown, status = 200): Response =>
  HttpServerResponse.jsonUnsafe(body, { status, headers: { "cache-control": "no-store" } })

/** The parameters of a request's URL. */
export const searchParams = (request: HttpServerRequest): URLSearchParams => {
  const at = request.url.indexOf("?")
  return new URLSearchParams(at < 0 ? "" : request.url.slice(at + 1))
}

/** The media type of the body, without parameters. */
export const contentType = (request: HttpServerRequest): string =>
  (request.headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase() ?? ""

const incoming = (request: HttpServerRequest): NodeHttp.IncomingMessage =>
  NodeHttpServerRequest.toIncomingMessage(request) as NodeHttp.IncomingMessage

/** Who asks, and from where. */
export const origin = (request: HttpServerRequest, caller: Caller): Origin => ({
  caller,
  headers: request.headers,
  client: incoming(request).socket.remoteAddress
})

/** The whole body of a request. */
export const body = (
  request: HttpServerRequest,
  maxBodySize: number
): Effect.Effect<Uint8Array, GatewayError.GatewayError> => {
  const { "content-length": length, expect } = request.headers
  // A client may wait to be told to go on, and a body without a length has to be counted.
  return expect === undefined && Number(length) <= maxBodySize
    ? announced(incoming(request))
    : counted(request, maxBodySize)
}

/** A body with a length, which Node keeps to. */
const announced = (request: NodeHttp.IncomingMessage): Effect.Effect<Uint8Array, GatewayError.GatewayError> =>
  Effect.callback((resume) => {
    const parts: Array<Uint8Array> = []
    const onData = (part: Uint8Array) => parts.push(part)
    const onEnd = () => {
      leave()
      resume(Effect.succeed(parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts)))
    }
    const onError = () => {
      leave()
      resume(Effect.fail(incomplete))
    }
    const leave = () => {
      request.off("data", onData)
      request.off("end", onEnd)
      request.off("error", onError)
    }
    request.on("data", onData)
    request.on("end", onEnd)
    request.on("error", onError)
    return Effect.sync(leave)
  })

const counted = (
  request: HttpServerRequest,
  maxBodySize: number
): Effect.Effect<Uint8Array, GatewayError.GatewayError> =>
  request.arrayBuffer.pipe(
    Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.fromInputUnsafe(maxBodySize)),
    Effect.map((buffer) => new Uint8Array(buffer)),
    Effect.mapError((error) => bodyError(error, maxBodySize))
  )

const incomplete = GatewayError.badRequest("The body did not arrive whole")

const bodyError = (
  { reason }: HttpServerError.HttpServerError,
  maxBodySize: number
): GatewayError.GatewayError =>
  reason._tag === "RequestParseError" && reason.reason === "BodyTooLarge"
    ? GatewayError.make("too_large", `The body is longer than ${maxBodySize} bytes (httpMaxBodySize)`)
    : incomplete

/** Gives a handler's errors as problems; defects are logged, and say nothing to the client. */
export const handled = <R>(
  handler: Effect.Effect<Response, GatewayError.GatewayError, R>
): Effect.Effect<Response, never, R> =>
  Effect.catchCause(handler, (cause) => {
    if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
    const error = GatewayError.fromCause(cause)
    // A query that had an id is counted with how it ended.
    const counted = error.queryId === undefined ? Metrics.refusal(error.code) : Effect.void
    const report = Cause.hasDies(cause)
      ? Effect.logError("The gateway died while answering a request", cause)
      : Effect.void
    return Effect.as(Effect.andThen(counted, report), Problem.toResponse(error))
  })
