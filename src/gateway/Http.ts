/** Shared by the routes: the caller, and errors as problems. */
import type * as NodeHttp from "node:http"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type { Caller } from "./Caller.ts"
import type { Origin } from "./Dispatcher.ts"
import * as GatewayError from "./GatewayError.ts"
import * as Metrics from "./Metrics.ts"
import * as Problem from "./Problem.ts"

type Response = HttpServerResponse.HttpServerResponse

/** A response in JSON that must not be stored. */
export const json = (body: unknown, status = 200): Response =>
  HttpServerResponse.jsonUnsafe(body, { status, headers: { "cache-control": "no-store" } })

/** Whether text has only valid UTF-8 percent escapes, and no characters that must be escaped. */
const isEscaped = (text: string): boolean => {
  if (/[^\x20-\x7e]/.test(text)) return false
  try {
    return !text.includes("%") || decodeURIComponent(text) !== undefined
  } catch {
    return false
  }
}

/** The problem with the escapes of a URL, if any: parsers would silently replace the text. */
export const problemOfUrl = (url: string): string | undefined => {
  if (isEscaped(url)) return undefined
  const [, path = "", search = ""] = /^([^?#]*)\??(.*)$/s.exec(url) ?? []
  const pair = search.split("&").find((pair) => !isEscaped(pair)) ?? ""
  const at = isEscaped(path) ? `${pair.replace(/=.*$/s, "")} in the URL` : "The path of the URL"
  return `${at}: expected UTF-8 in percent escapes (%25 stands for % itself)`
}

/** The parameters of a request's URL. */
export const searchParams = (request: HttpServerRequest): URLSearchParams => {
  const at = request.url.indexOf("?")
  return new URLSearchParams(at < 0 ? "" : request.url.slice(at + 1))
}

/**
 * The problem with the parameters of a request's URL, if any: a route accepts only these, each at most once.
 */
export const problemOfParameters = (
  request: HttpServerRequest,
  known: ReadonlyArray<string>
): GatewayError.GatewayError | undefined => {
  const seen = new Set<string>()
  for (const [name] of searchParams(request)) {
    if (!known.includes(name)) {
      const expected = known.length === 0 ? "no parameters" : known.join(", ")
      return GatewayError.badRequest(`${name}: the URL of this route may hold ${expected}`)
    }
    if (seen.has(name)) return GatewayError.badRequest(`${name}: given twice in the URL`)
    seen.add(name)
  }
  return undefined
}

/** Node's own request. */
export const incoming = (request: HttpServerRequest): NodeHttp.IncomingMessage =>
  NodeHttpServerRequest.toIncomingMessage(request) as NodeHttp.IncomingMessage

/** The origin of a request: its caller, headers and client address. */
export const origin = (request: HttpServerRequest, caller: Caller): Origin => ({
  caller,
  headers: request.headers,
  client: incoming(request).socket.remoteAddress
})

/**
 * Turns a handler's errors into problems; defects are logged, and their details are not sent to the client.
 */
export const handled = <R>(
  handler: Effect.Effect<Response, GatewayError.GatewayError, R>
): Effect.Effect<Response, never, R> =>
  Effect.catchCause(handler, (cause) => {
    if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
    const error = GatewayError.fromCause(cause)
    // A query with an id is counted by its own end.
    const counted = error.queryId === undefined ? Metrics.refusal(error.code) : Effect.void
    const report = Cause.hasDies(cause)
      ? Effect.logError("The gateway died while answering a request", cause)
      : Effect.void
    return Effect.as(Effect.andThen(counted, report), Problem.toResponse(error))
  })
