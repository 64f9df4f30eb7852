/**
 * The reasons why the gateway gives no result, or an incomplete one: an error of a back-end, the end of its
 * connection, or a refusal of the gateway itself.
 */
import * as Cause from "effect/Cause"
import * as Schema from "effect/Schema"
import type { ClientError } from "../client/ClientError.ts"
import * as ErrorMessage from "../engine/ErrorMessage.ts"
import * as QueryApi from "../engine/QueryApi.ts"
import type { QueryFailed, QueryRejected } from "../engine/QueryEngine.ts"

/**
 * An error as clients of the gateway see it. `code` is one of PROTOCOL.md §3 or of {@link ownCodes}; unknown
 * codes are passed on unchanged.
 *
 * @category errors
 * @since 0.1.0
 */
export class GatewayError extends Schema.TaggedError<GatewayError>()("GatewayError", {
  code: Schema.String,
  message: Schema.NonEmptyString,
  retryable: Schema.Boolean,
  position: Schema.optional(Schema.Int),
  retryAfterMs: Schema.optional(Schema.Int),
  /** The query that failed, if there was one. */
  queryId: Schema.optional(Schema.String)
}) {}

/** The error with the id of its query. */
export const ofQuery = (error: GatewayError, queryId: string): GatewayError =>
  new GatewayError({ ...toJson(error), queryId })

/**
 * The codes that only the gateway sends, and the HTTP status of each.
 *
 * @category constants
 * @since 0.1.0
 */
export const ownCodes = {
  /** No credentials, or unknown ones. */
  unauthenticated: 401,
  /** The caller lacks the permission. */
  forbidden: 403,
  /** No such query, or its verdict is no longer kept. */
  unknown_query: 404,
  /** No such target. */
  unknown_target: 404,
  /** No such page. */
  no_route: 404,
  method_not_allowed: 405,
  not_acceptable: 406,
  /** The request did not arrive whole in time. Nothing was run. */
  request_timeout: 408,
  /** Another query that runs has the id. */
  query_id_in_use: 409,
  /** The gateway that ran the query has ended since. */
  verdict_lost: 410,
  unsupported_media_type: 415,
  /** The compression of the body is not supported. */
  unsupported_encoding: 415,
  /** The `Expect` header asks for unsupported behaviour. */
  expectation_failed: 417,
  misdirected_request: 421,
  upgrade_required: 426,
  quota_exceeded: 429,
  /** The head of the request is too long. */
  head_too_large: 431,
  /** The query was cancelled by another request. */
  cancelled: 499,
  /** The gateway does not support a method or a transfer coding of HTTP. */
  not_implemented: 501,
  /** The connection to the back-end broke before the response was whole. */
  backend_lost: 502,
  /** No address of the back-end can be reached. Nothing was run. */
  backend_unavailable: 503,
  /** The back-end that a conversation belongs to is lost. Nothing was run. */
  conversation_lost: 503
} as const

const statuses: Readonly<Record<string, number>> = {
  ...ownCodes,
  bad_request: 400,
  unsupported_version: 400,
  unsupported_format: 406,
  too_large: 413,
  not_allowed: 403,
  syntax_error: 400,
  invalid_query: 400,
  not_found: 404,
  overloaded: 503,
  shutting_down: 503,
  execution_failed: 422,
  timeout: 504,
  out_of_memory: 500,
  internal: 500,
  engine_lost: 502,
  unknown_outcome: 502
}

/** A statement that conflicted with another one, and may succeed when it is retried. */
const conflict = 409

/**
 * The HTTP status of an error that comes before the first byte of a result.
 *
 * @category statuses
 * @since 0.1.0
 */
export const status = ({ code, retryable }: Pick<GatewayError, "code" | "retryable">): number =>
  code === "execution_failed" && retryable ? conflict : (statuses[code] ?? 500)

/** An error of the gateway's own. */
export const make = (
  code: keyof typeof ownCodes | QueryApi.ErrorCode,
  message: string,
  details: { readonly retryable?: boolean; readonly retryAfterMs?: number } = {}
): GatewayError => new GatewayError({ code, message, retryable: details.retryable ?? false, ...details })

export const badRequest = (message: string): GatewayError => make("bad_request", message)

const Body = Schema.decodeUnknownOption(
  Schema.fromJsonString(
    Schema.Struct({
      code: Schema.NonEmptyString.check(Schema.isMaxLength(64)),
      message: Schema.NonEmptyString,
      retryable: Schema.Boolean,
      position: Schema.optional(Schema.Int),
      retryAfterMs: Schema.optional(Schema.Int)
    })
  )
)

const decoder = new TextDecoder()

/** The error in the body of a reject or an error, whose code may be unknown here. */
export const fromBody = (payload: Uint8Array): GatewayError => {
  const body = Body(decoder.decode(payload))
  if (body._tag === "Some") {
    return new GatewayError({ ...body.value, message: ErrorMessage.bounded(body.value.message) })
  }
  const { code, message, retryable } = QueryApi.decodeError(payload)
  return new GatewayError({ code, message, retryable })
}

const retryAfterMs = 1000

/** The client's error for a failed or missing connection to a back-end. */
export const fromClient = ({ message, reason }: ClientError): GatewayError => {
  switch (reason._tag) {
    case "ConnectFailed":
    case "ConnectionClosed":
      return make("backend_unavailable", message, { retryable: true, retryAfterMs })
    case "TooManyRequests":
      return make(
        "overloaded",
        `${reason.maxQueuedRequests} queries wait for a connection to ${reason.server} already (backendQueue). Nothing was run`,
        { retryable: true, retryAfterMs }
      )
    case "RequestTimeout":
      // The request was sent, and its outcome is unknown.
      if (reason.phase === "accept") return make("backend_lost", message)
      return make("overloaded", message, { retryable: true, retryAfterMs })
    case "QueueTimeout":
      return make(
        "overloaded",
        `No connection to ${reason.server} took the query within ${reason.queueTimeoutMillis} ms (backendQueueTimeout). Nothing was run`,
        { retryable: true, retryAfterMs }
      )
    default:
      return make("backend_lost", message)
  }
}

/** All errors of a back-end's client. */
export type Upstream = QueryRejected | QueryFailed | ClientError | GatewayError

export const fromUpstream = (error: Upstream): GatewayError => {
  switch (error._tag) {
    case "QueryRejected":
    case "QueryFailed":
      return fromBody(error.payload)
    case "ClientError":
      return fromClient(error)
    case "GatewayError":
      return error
  }
}

/** The error in a cause that is no interruption; a defect is reported without its details. */
export const fromCause = (cause: Cause.Cause<Upstream>): GatewayError => {
  const error = Cause.findErrorOption(cause)
  return error._tag === "Some"
    ? fromUpstream(error.value)
    : make("internal", "The gateway failed to answer the query")
}

/** The members of an error in JSON. */
export const toJson = ({ code, message, position, retryAfterMs, retryable }: GatewayError) => ({
  code,
  message,
  retryable,
  ...(position === undefined ? {} : { position }),
  ...(retryAfterMs === undefined ? {} : { retryAfterMs })
})
