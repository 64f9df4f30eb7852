/**
 * Errors before the first byte of a result: a true status and `application/problem+json` (RFC 9457).
 */
import { STATUS_CODES } from "node:http"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as ProblemDetails from "effect/http/ProblemDetails"
import * as GatewayError from "./GatewayError.ts"
import * as Negotiation from "./Negotiation.ts"

/** The header that carries the id of a query. */
export const queryIdHeader = "x-dataconn-query-id"

/** Statuses that say when to come back. */
const retried: ReadonlySet<number> = new Set([429, 503])

/** What a client may do instead, by the code (RFC 9110 §15.5). */
const instead: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  unauthenticated: { "www-authenticate": 'Bearer realm="dataconn"' },
  unsupported_media_type: { accept: Negotiation.bodyTypes.join(", ") },
  unsupported_encoding: { "accept-encoding": [...Negotiation.encodings, "identity"].join(", ") },
  upgrade_required: { upgrade: "websocket" }
}

/** A cancel has the status that nginx made; Node knows all others. */
const reasonOf = (status: number): string => STATUS_CODES[status] ?? "Client Closed Request"

export interface Options {
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/** The response that an error is. */
export const toResponse = (
  error: GatewayError.GatewayError,
  { headers }: Options = {}
): HttpServerResponse.HttpServerResponse => {
  const status = GatewayError.status(error)
  const { message, ...members } = GatewayError.toJson(error)
  const { queryId } = error
  const problem = {
    type: ProblemDetails.blankType,
    title: reasonOf(status),
    status,
    detail: message,
    ...members,
    ...(queryId === undefined ? {} : { queryId })
  }
  const response = HttpServerResponse.setStatus(ProblemDetails.toResponse(problem), status, reasonOf(status))
  return HttpServerResponse.setHeaders(response, {
    "cache-control": "no-store",
    ...(queryId === undefined ? {} : { [queryIdHeader]: queryId }),
    ...(retried.has(status)
      ? { "retry-after": String(Math.max(1, Math.ceil((error.retryAfterMs ?? 1000) / 1000))) }
      : {}),
    ...instead[error.code],
    ...headers
  })
}
