/**
 * The bodies of the v1 query API (PROTOCOL.md §3): their schemas, encoders and decoders.
 */
import * as BigDecimal from "effect/BigDecimal"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as ExactJson from "./ExactJson.ts"
import * as JsonBody from "./JsonBody.ts"
import * as JsonBounds from "./JsonBounds.ts"
import * as JsonNames from "./JsonNames.ts"
import type * as Limits from "./Limits.ts"
import * as Metadata from "./Metadata.ts"
import * as ParameterValues from "./ParameterValues.ts"
import { type ErrorCode, type QueryError, queryError } from "./QueryErrorBody.ts"
import * as WellFormed from "./WellFormed.ts"

export { decodeError, ErrorCode, encodeError, QueryError, queryError } from "./QueryErrorBody.ts"

/**
 * The result formats of the API, as media types.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Format = Schema.Literals([
  "application/json",
  "application/x-ndjson",
  "text/csv",
  "application/vnd.apache.arrow.stream",
  "application/vnd.apache.parquet"
])
/**
 * A result format, as a media type.
 *
 * @category schemas
 * @since 0.1.0
 */
export type Format = typeof Format.Type

/**
 * The default format of a request.
 *
 * @category constants
 * @since 0.1.0
 */
export const defaultFormat: Format = "application/json"

/**
 * The JSON form of numbers that may not fit a DOUBLE: numbers with all their digits, or strings. They are
 * those of BIGINT, UBIGINT, HUGEINT, UHUGEINT, BIGNUM and DECIMAL, in nested values too. Non-finite numbers,
 * which JSON lacks, are `null`, or `"NaN"`, `"Infinity"` and `"-Infinity"`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Numbers = Schema.Literals(["number", "string"])
/**
 * The JSON form of numbers that may not fit a DOUBLE.
 *
 * @category schemas
 * @since 0.1.0
 */
export type Numbers = typeof Numbers.Type

/**
 * Positional parameters as a list, named ones as an object. A JSON parser has made the parts, so they are not
 * checked again: that would take a microsecond for each.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Parameters = Schema.declare<Parameters>(
  (value): value is Parameters => typeof value === "object" && value !== null,
  { expected: "a list or an object" }
)
/**
 * The parameters of a query.
 *
 * @category schemas
 * @since 0.1.0
 */
export type Parameters = ParameterValues.Parameters

/** Longest `queryId` in UTF-16 units, since the accept repeats it. */
export const maxQueryIdLength = 1024

/**
 * The body of a request (`R`).
 *
 * `timeoutMs` is in milliseconds from the request's arrival. `traceparent` is a W3C trace context. `numbers`
 * applies to the JSON formats only; its default is `"number"`. `metadata` identifies the caller. On the wire
 * `parameters` are JSON, and `parameterTypes` has their explicit types, such as blobs and timestamps. With
 * `readOnly` the query must change nothing. With `receipt` the result ends with a {@link Receipt}. With
 * `progress` other requests may ask for the query's progress.
 *
 * @category schemas
 * @since 0.1.0
 */
export class QueryRequest extends Schema.Class<QueryRequest>("QueryRequest")({
  version: Schema.Literal("v1"),
  query: Schema.NonEmptyString,
  parameters: Schema.optional(Parameters),
  format: Schema.optional(Format),
  numbers: Schema.optional(Numbers),
  timeoutMs: Schema.optional(Schema.Finite.check(Schema.isGreaterThan(0))),
  queryId: Schema.optional(Schema.String.check(Schema.isMaxLength(maxQueryIdLength))),
  traceparent: Schema.optional(Schema.String),
  metadata: Schema.optional(Metadata.Metadata),
  readOnly: Schema.optional(Schema.Boolean),
  receipt: Schema.optional(Schema.Boolean),
  progress: Schema.optional(Schema.Boolean)
}) {}

/**
 * The summary of a complete result, if the request asked for it. It is then the JSON body of the final
 * message (`F`), and all bytes of the result are in chunks (`I`) before it.
 *
 * `bytes` and `crc32` (8 hexadecimal digits) describe the encoded result. `rows` is present if the engine
 * counts them. `durationMs` is in milliseconds.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Receipt = Schema.Struct({
  queryId: Schema.String,
  rows: Schema.optional(Schema.Int),
  bytes: Schema.Int,
  crc32: Schema.String.check(Schema.isPattern(/^[0-9a-f]{8}$/)),
  durationMs: Schema.Finite
})
/**
 * The summary of a complete result.
 *
 * @category schemas
 * @since 0.1.0
 */
export type Receipt = typeof Receipt.Type

/**
 * One column of a result: its name and the engine's own name for its type. `wideNumbers` is true if the
 * column may have numbers that do not fit a DOUBLE: JSON readers that need them exactly ask for
 * `numbers: "string"`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Column = Schema.Struct({
  name: Schema.String,
  type: Schema.String,
  wideNumbers: Schema.optional(Schema.Boolean)
})
/**
 * One column of a result.
 *
 * @category schemas
 * @since 0.1.0
 */
export type Column = typeof Column.Type

/**
 * The body of an accept (`A`). `columns` is present if the engine knows them by then, and `readOnly` if the
 * request asked for it and the engine ensures it. `receipt` promises a {@link Receipt}. `progress` promises
 * that the query's progress can be requested while it runs.
 *
 * @category schemas
 * @since 0.1.0
 */
export class QueryAccepted extends Schema.Class<QueryAccepted>("QueryAccepted")({
  format: Format,
  queryId: Schema.String,
  columns: Schema.optional(Schema.Array(Column)),
  readOnly: Schema.optional(Schema.Boolean),
  receipt: Schema.optional(Schema.Boolean),
  progress: Schema.optional(Schema.Boolean)
}) {}

const decodeQueryRequest = Schema.decodeUnknownResult(QueryRequest)

/** Decodes the body of a request for one of the formats, within limits. The error names the invalid field. */
export const decodeRequest = (
  payload: Uint8Array,
  formats: ReadonlySet<Format>,
  limits: Limits.RequestLimits
): Result.Result<QueryRequest, QueryError> => {
  const excess = JsonBounds.problem(payload, limits)
  if (excess !== undefined) return bad("bad_request", excess)
  let mayBeIll = false
  const json = JsonBody.parse(payload, (text) => {
    mayBeIll = surrogate.test(text)
    return ExactJson.parse(text)
  })
  if (Result.isFailure(json)) return bad("bad_request", `The request is ${json.failure}`)
  // A JSON parser would silently keep the last one.
  if (JsonNames.areRepeated(payload, json.success, BigDecimal.isBigDecimal)) {
    return bad("bad_request", "The request has an object in which a name occurs twice")
  }
  const body = json.success
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    return bad("bad_request", "The request is not a JSON object")
  }
  const ill = mayBeIll ? WellFormed.firstIll(body) : undefined
  if (ill !== undefined) return bad("bad_request", `${ill}: ${WellFormed.problem}`)
  // The version defines the meaning of the other fields, so it is checked first.
  if ("version" in body && typeof body.version === "string" && body.version !== "v1") {
    return bad("unsupported_version", `version: "${body.version}" is not supported; use "v1"`)
  }
  if ("format" in body && typeof body.format === "string" && !formats.has(body.format as Format)) {
    const supported = Array.from(formats).join(", ")
    return bad("unsupported_format", `format: "${body.format}" is not supported; use one of ${supported}`)
  }
  if ("query" in body && typeof body.query === "string" && isLonger(body.query, limits.maxQueryLength)) {
    return bad("bad_request", `query: longer than ${limits.maxQueryLength} bytes (maxQueryLength)`)
  }
  // A well-formed request for progress does not get here.
  if ("progressOf" in body && "query" in body && body.query === "") return bad("bad_request", progressProblem)
  if ("metadata" in body) {
    const problem = Metadata.problem(body.metadata)
    if (problem !== undefined) return bad("bad_request", `metadata: ${problem}`)
  }
  return Result.flatMap(valuesOf(body), (fields) =>
    Result.mapError(decodeQueryRequest(fields), (error) =>
      queryError("bad_request", JsonBody.describe(error))
    )
  )
}

const progressProblem = `progressOf: expected a text of at most ${maxQueryIdLength} characters, in a request of at most 16 KiB`

/** UTF-8 has no surrogates, but JSON escapes may make some. */
const surrogate = /\\u[dD][89a-fA-F]/

/** The fields, with parameters of their explicit types and JavaScript numbers elsewhere. */
const valuesOf = (body: object): Result.Result<object, QueryError> => {
  const { parameters, parameterTypes, timeoutMs } = body as Readonly<Record<string, unknown>>
  return Result.try({
    try: () => ({
      ...body,
      ...(timeoutMs === undefined ? {} : { timeoutMs: toNumber(timeoutMs) }),
      ...(parameters === undefined
        ? withoutTypes(parameterTypes)
        : { parameters: ParameterValues.decode(parameters, parameterTypes) })
    }),
    catch: refused
  })
}

/** An empty object for a request without parameters. Throws if it has types, which then fit no value. */
const withoutTypes = (types: unknown): object => {
  ParameterValues.decode(Array.isArray(types) ? [] : {}, types)
  return {}
}

const toNumber = (value: unknown): unknown => {
  if (typeof value === "bigint") return Number(value)
  return BigDecimal.isBigDecimal(value) ? Number(ExactJson.decimalText(value)) : value
}

const refused = (error: unknown): QueryError => {
  if (error instanceof ParameterValues.ParameterError) return queryError("bad_request", error.message)
  throw error
}

const isLonger = (text: string, bytes: number): boolean =>
  text.length > bytes || Buffer.byteLength(text) > bytes

const bad = (code: ErrorCode, message: string): Result.Result<never, QueryError> =>
  Result.fail(queryError(code, message))

/**
 * Encodes the body of an accept.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encodeAccepted = (accepted: QueryAccepted): Uint8Array =>
  JsonBody.encode({
    format: accepted.format,
    queryId: accepted.queryId,
    columns: accepted.columns,
    readOnly: accepted.readOnly,
    receipt: accepted.receipt,
    progress: accepted.progress
  })

/** Encodes a receipt as the body of the final message. */
export const encodeReceipt = (receipt: Receipt): Uint8Array => JsonBody.encode(receipt)

const decodeReceiptJson = Schema.decodeUnknownResult(Receipt)

/**
 * Decodes the body of a final message as a receipt. Any other body fails with a {@link QueryError} of code
 * `internal`: the server is at fault.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decodeReceipt = (payload: Uint8Array): Result.Result<Receipt, QueryError> =>
  JsonBody.parse(payload).pipe(
    Result.flatMap((body) => Result.mapError(decodeReceiptJson(body), JsonBody.describe)),
    Result.mapError((reason) => queryError("internal", `The server sent an undecodable receipt: ${reason}`))
  )

type Request = Omit<ConstructorParameters<typeof QueryRequest>[0], "version">

/**
 * Like {@link encodeRequest}, but fails instead of throwing.
 *
 * @category encoding
 * @since 0.1.0
 */
export const requestBody = ({ parameters, ...request }: Request): Result.Result<Uint8Array, QueryError> =>
  Result.try({
    try: () => {
      const ill = WellFormed.firstIll(request)
      if (ill !== undefined) throw new ParameterValues.ParameterError(`${ill}: ${WellFormed.problem}`)
      return JsonBody.encode({
        version: "v1",
        ...request,
        ...(parameters === undefined ? {} : ParameterValues.encode(parameters))
      })
    },
    catch: refused
  })

/**
 * Encodes a request's body; `version` is filled in. Throws a {@link QueryError} with the code `bad_request`
 * that names the parameter without an SQL value, or the field whose text has half a surrogate pair.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encodeRequest = (request: Request): Uint8Array => Result.getOrThrow(requestBody(request))

const decodeQueryAccepted = Schema.decodeUnknownResult(QueryAccepted)

/**
 * Decodes the body of an accept. Any other body fails with a {@link QueryError} of code `internal`: the
 * server is at fault, not the query.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decodeAccepted = (payload: Uint8Array): Result.Result<QueryAccepted, QueryError> =>
  JsonBody.parse(payload).pipe(
    Result.flatMap((body) => Result.mapError(decodeQueryAccepted(body), JsonBody.describe)),
    Result.mapError((reason) => queryError("internal", `The server sent an undecodable accept: ${reason}`))
  )
