/**
 * The v1 query API: what the message bodies mean for engines that answer textual queries.
 *
 * All bodies are UTF-8 JSON. Unknown fields are ignored, so fields can be added. See `README.md` beside
 * this file for the formats on the wire.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { QueryEngine, QueryFailed, QueryRejected } from "./QueryEngine.ts"

/** The result formats of the API, as media types. */
export const Format = Schema.Literals([
  "application/json",
  "application/x-ndjson",
  "text/csv",
  "application/vnd.apache.arrow.stream",
  "application/vnd.apache.parquet"
])
export type Format = typeof Format.Type

/** The format of a request that names none. */
export const defaultFormat: Format = "application/json"

/** Positional parameters as a list, named ones as an object. */
export const Parameters = Schema.Union([Schema.Array(Schema.Json), Schema.Record(Schema.String, Schema.Json)])
export type Parameters = typeof Parameters.Type

/**
 * The body of a request (`R`).
 *
 * `timeoutMs` is in milliseconds from the request's arrival. `traceparent` is a W3C trace context.
 */
export class QueryRequest extends Schema.Class<QueryRequest>("QueryRequest")({
  version: Schema.Literal("v1"),
  query: Schema.NonEmptyString,
  parameters: Schema.optional(Parameters),
  format: Schema.optional(Format),
  timeoutMs: Schema.optional(Schema.Finite.check(Schema.isGreaterThan(0))),
  queryId: Schema.optional(Schema.String),
  traceparent: Schema.optional(Schema.String)
}) {}

/** One column of a result: its name and the engine's own name for its type. */
export const Column = Schema.Struct({ name: Schema.String, type: Schema.String })
export type Column = typeof Column.Type

/** The body of an accept (`A`). `columns` is there where the engine knows them by then. */
export class QueryAccepted extends Schema.Class<QueryAccepted>("QueryAccepted")({
  format: Format,
  queryId: Schema.String,
  columns: Schema.optional(Schema.Array(Column))
}) {}

/** The codes of rejects and errors. */
export const ErrorCode = Schema.Literals([
  "bad_request",
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
  "internal"
])
export type ErrorCode = typeof ErrorCode.Type

/**
 * The body of a reject (`J`) or error (`E`), and the failure that a v1 engine raises to send one.
 *
 * `position` is the 1-based character offset in the query; `retryAfterMs` is in milliseconds. `message` is
 * never empty. As a reject it means that nothing was run, so a retry is safe.
 */
export class QueryError extends Schema.TaggedError<QueryError>()("QueryError", {
  code: ErrorCode,
  message: Schema.NonEmptyString,
  retryable: Schema.Boolean,
  position: Schema.optional(Schema.Int),
  retryAfterMs: Schema.optional(Schema.Int)
}) {}

const encoder = new TextEncoder()

/** Encodes a {@link QueryError} as the body of a reject or error message. */
export const encodeError = (error: QueryError): Uint8Array =>
  encoder.encode(
    JSON.stringify({
      code: error.code,
      message: error.message,
      retryable: error.retryable,
      position: error.position,
      retryAfterMs: error.retryAfterMs
    })
  )

/**
 * What a v1 engine answers: the columns where they are known before the first byte, and the encoded result.
 */
export interface QueryResult {
  readonly columns?: ReadonlyArray<Column> | undefined
  readonly chunks: Stream.Stream<Uint8Array, QueryError>
}
