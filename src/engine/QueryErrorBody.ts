/**
 * The body of a reject or an error (PROTOCOL.md §3), which is also the failure of a v1 engine.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as ErrorMessage from "./ErrorMessage.ts"
import * as Given from "./Given.ts"
import * as JsonBody from "./JsonBody.ts"

/**
 * The codes of rejects and errors.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ErrorCode = Schema.Literals([
  "bad_request",
  "too_large",
  "unsupported_version",
  "unsupported_format",
  "not_allowed",
  "syntax_error",
  "not_found",
  "invalid_query",
  "overloaded",
  "shutting_down",
  "execution_failed",
  "timeout",
  "out_of_memory",
  "engine_lost",
  "internal",
  "unknown_outcome"
])
/**
 * A code of a reject or an error.
 *
 * @category schemas
 * @since 0.1.0
 */
export type ErrorCode = typeof ErrorCode.Type

/**
 * The body of a reject (`J`) or error (`E`), and the failure that a v1 engine raises to send one.
 *
 * `position` is the 1-based character offset in the query; `retryAfterMs` is in milliseconds. `closing` means
 * that the server closes the connection after this message, and begins no later request. `message` is never
 * empty. A reject means that nothing was run, so a retry is safe.
 *
 * @category errors
 * @since 0.1.0
 */
export class QueryError extends Schema.TaggedError<QueryError>()("QueryError", {
  code: ErrorCode,
  message: Schema.NonEmptyString,
  retryable: Schema.Boolean,
  position: Schema.optional(Schema.Int),
  retryAfterMs: Schema.optional(Schema.Int),
  closing: Schema.optional(Schema.Boolean)
}) {}

/** The codes of errors that a client may retry unchanged. */
const retryableCodes: ReadonlySet<ErrorCode> = new Set(["overloaded", "shutting_down"])

/**
 * A {@link QueryError}. By default `retryable` is the value that PROTOCOL.md §3 gives the code. An empty
 * message becomes the code, since an error is never empty; a message longer than
 * {@link ErrorMessage.maxBytes} is cut.
 *
 * @category constructors
 * @since 0.1.0
 */
export const queryError = (
  code: ErrorCode,
  message: string,
  details?: {
    readonly retryable?: boolean | undefined
    readonly position?: number | undefined
    readonly retryAfterMs?: number | undefined
  }
): QueryError =>
  JsonBody.make(
    "queryError",
    () =>
      new QueryError({
        code,
        // The schema refuses other values by name.
        message:
          message === "" ? code : typeof message === "string" ? ErrorMessage.bounded(message) : message,
        retryable: details?.retryable ?? retryableCodes.has(code),
        ...(details?.position === undefined ? {} : { position: details.position }),
        ...(details?.retryAfterMs === undefined ? {} : { retryAfterMs: details.retryAfterMs })
      })
  )

/**
 * Encodes a {@link QueryError} as the body of a reject or error message; a long message is cut.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encodeError = (error: QueryError): Uint8Array =>
  JsonBody.encode({
    code: error.code,
    message: ErrorMessage.bounded(error.message),
    retryable: error.retryable,
    position: error.position,
    retryAfterMs: error.retryAfterMs,
    closing: error.closing
  })

/**
 * The failure of an engine. Throws any value but a `QueryError`, for the log; one of another copy of this
 * module is valid.
 */
export const queryErrorOf = (error: QueryError): QueryError => {
  if (error?._tag === "QueryError" && typeof error.message === "string") return error
  throw Given.mismatch("failure", "a QueryError", error)
}

const isErrorCode = Schema.is(ErrorCode)

const lossy = new TextDecoder("utf-8")

const decodeQueryError = Schema.decodeUnknownResult(
  Schema.Struct({
    code: Schema.NonEmptyString,
    message: Schema.NonEmptyString,
    retryable: Schema.Boolean,
    position: Schema.optional(Schema.Int),
    retryAfterMs: Schema.optional(Schema.Int),
    closing: Schema.optional(Schema.Boolean)
  })
)

/**
 * Decodes the body of a reject or error.
 *
 * **Details**
 *
 * Never fails. An unknown code, of a later server, becomes `internal` and stands at the beginning of the
 * message; the other members, `retryable` among them, are kept. A body of another shape becomes a
 * {@link QueryError} with code `internal` and the body's `message`, or else its text, so that the answer of an
 * unknown server is not lost.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decodeError = (payload: Uint8Array): QueryError => {
  const body = Result.getOrUndefined(JsonBody.parse(payload))
  const decoded = decodeQueryError(body)
  if (Result.isSuccess(decoded)) {
    const { code, message } = decoded.success
    return new QueryError(
      isErrorCode(code)
        ? { ...decoded.success, code }
        : { ...decoded.success, code: "internal", message: `${code.slice(0, 64)}: ${message}` }
    )
  }
  const message =
    typeof body === "object" && body !== null && "message" in body && typeof body.message === "string"
      ? body.message
      : lossy.decode(payload)
  return queryError("internal", message)
}
