/** Errors before the first byte of a result: a real status and `application/problem+json` (RFC 9457). */
import { STATUS_CODES } from "node:http"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as ProblemDetails from "effect/http/ProblemDetails"
import * as GatewayError from "./GatewayError.ts"
import * as Negotiation from "./Negotiation.ts"

/** The header that carries the id of a query. */
export const queryIdHeader = "x-dataconn-query-id"

/** The version of WebSockets (RFC 6455). */
export const webSocketVersion = "13"

/** Statuses with a `Retry-After`. */
const retried: ReadonlySet<number> = new Set([429, 503])

/** For errors after which the next bytes may not be another request. */
const closing = { connection: "close" }

/** Headers by code: the alternatives of a client (RFC 9110 §15.5), and the end of its connection. */
const instead: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  unauthenticated: { "www-authenticate": 'Bearer realm="dataconn"' },
  unsupported_media_type: { accept: Negotiation.bodyTypes.join(", ") },
  unsupported_encoding: { "accept-encoding": [...Negotiation.encodings, "identity"].join(", ") },
  upgrade_required: { upgrade: "websocket", "sec-websocket-version": webSocketVersion },
  expectation_failed: closing,
  not_implemented: closing
}

/** A cancel has nginx's status; Node knows all others. */
const reasonOf = (status: number): string => STATUS_CODES[status] ?? "Client Closed Request"

export interface Options {
  readonly headers?: Readonly<Record<string, string>> | undefined
}

const membersOf = (error: GatewayError.GatewayError, status: number) => {
  const { message, ...members } = GatewayError.toJson(error)
  return {
    type: ProblemDetails.blankType,
    title: reasonOf(status),
    status,
    detail: message,
    ...members,
    ...(error.queryId === undefined ? {} : { queryId: error.queryId })
  }
}

const headersOf = (error: GatewayError.GatewayError, status: number): Record<string, string> => ({
  "cache-control": "no-store",
  ...(error.queryId === undefined ? {} : { [queryIdHeader]: error.queryId }),
  ...(retried.has(status)
    ? { "retry-after": String(Math.max(1, Math.ceil((error.retryAfterMs ?? 1000) / 1000))) }
    : {}),
  ...instead[error.code]
})

/** The response for an error. */
export const toResponse = (
  error: GatewayError.GatewayError,
  { headers }: Options = {}
): HttpServerResponse.HttpServerResponse => {
  const status = GatewayError.status(error)
  const problem = ProblemDetails.toResponse(membersOf(error, status))
  return HttpServerResponse.setHeaders(HttpServerResponse.setStatus(problem, status, reasonOf(status)), {
    ...headersOf(error, status),
    ...headers
  })
}

export interface Written {
  /** The time of writing, in the form of HTTP. */
  readonly date: string
  /** The method of the request, if known: an answer to `HEAD` has no body. */
  readonly method?: string | undefined
}

/** The same as text, for the last response of a connection. */
export const toText = (error: GatewayError.GatewayError, { date, method }: Written): string => {
  const status = GatewayError.status(error)
  const body = JSON.stringify(membersOf(error, status))
  const headers: Record<string, string> = {
    ...headersOf(error, status),
    "content-type": "application/problem+json",
    "content-length": String(Buffer.byteLength(body)),
    date,
    ...closing
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  const head = `HTTP/1.1 ${status} ${reasonOf(status)}\r\n${lines.join("")}\r\n`
  return method === "HEAD" ? head : head + body
}
