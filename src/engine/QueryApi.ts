/**
 * The v1 query API: what the message bodies mean for engines that answer textual queries.
 *
 * All bodies are UTF-8 JSON. Unknown fields are ignored, so fields can be added. {@link makeEngine} turns a
 * function from such a request to a result into a {@link QueryEngine}; the encoders and decoders at the end
 * are the client's half.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Headers from "effect/http/Headers"
import * as HttpTraceContext from "effect/http/HttpTraceContext"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as ErrorMessage from "./ErrorMessage.ts"
import * as JsonBounds from "./JsonBounds.ts"
import * as Limits from "./Limits.ts"
import { type AcceptedQuery, type Engine, QueryEngine, QueryFailed, QueryRejected } from "./QueryEngine.ts"

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
 * The format of a request that names none.
 *
 * @category constants
 * @since 0.1.0
 */
export const defaultFormat: Format = "application/json"

/**
 * Positional parameters as a list, named ones as an object. The parts come from a parser of JSON; looking at each
 * again would take a microsecond for each.
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
export type Parameters = ReadonlyArray<Schema.Json> | Schema.JsonObject

/** Longest `queryId` in UTF-16 units; the accept repeats it. */
const maxQueryIdLength = 1024

/**
 * The body of a request (`R`).
 *
 * `timeoutMs` is in milliseconds from the request's arrival. `traceparent` is a W3C trace context.
 *
 * @category schemas
 * @since 0.1.0
 */
export class QueryRequest extends Schema.Class<QueryRequest>("QueryRequest")({
  version: Schema.Literal("v1"),
  query: Schema.NonEmptyString,
  parameters: Schema.optional(Parameters),
  format: Schema.optional(Format),
  timeoutMs: Schema.optional(Schema.Finite.check(Schema.isGreaterThan(0))),
  queryId: Schema.optional(Schema.String.check(Schema.isMaxLength(maxQueryIdLength))),
  traceparent: Schema.optional(Schema.String)
}) {}

/**
 * One column of a result: its name and the engine's own name for its type.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Column = Schema.Struct({ name: Schema.String, type: Schema.String })
/**
 * One column of a result.
 *
 * @category schemas
 * @since 0.1.0
 */
export type Column = typeof Column.Type

/**
 * The body of an accept (`A`). `columns` is there where the engine knows them by then.
 *
 * @category schemas
 * @since 0.1.0
 */
export class QueryAccepted extends Schema.Class<QueryAccepted>("QueryAccepted")({
  format: Format,
  queryId: Schema.String,
  columns: Schema.optional(Schema.Array(Column))
}) {}

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
  "internal"
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
 * `position` is the 1-based character offset in the query; `retryAfterMs` is in milliseconds. `message` is
 * never empty. As a reject it means that nothing was run, so a retry is safe.
 *
 * @category errors
 * @since 0.1.0
 */
export class QueryError extends Schema.TaggedError<QueryError>()("QueryError", {
  code: ErrorCode,
  message: Schema.NonEmptyString,
  retryable: Schema.Boolean,
  position: Schema.optional(Schema.Int),
  retryAfterMs: Schema.optional(Schema.Int)
}) {}

/** The codes that a client may retry without any change. */
const retryableCodes: ReadonlySet<ErrorCode> = new Set(["overloaded", "shutting_down"])

/**
 * A {@link QueryError} with the `retryable` that PROTOCOL.md §3 gives its code. An empty message becomes the
 * code, since an error always says something; one longer than {@link ErrorMessage.maxBytes} is cut.
 *
 * @category constructors
 * @since 0.1.0
 */
export const queryError = (
  code: ErrorCode,
  message: string,
  details?: { readonly position?: number | undefined; readonly retryAfterMs?: number | undefined }
): QueryError =>
  new QueryError({
    code,
    message: message === "" ? code : ErrorMessage.bounded(message),
    retryable: retryableCodes.has(code),
    ...(details?.position === undefined ? {} : { position: details.position }),
    ...(details?.retryAfterMs === undefined ? {} : { retryAfterMs: details.retryAfterMs })
  })

/**
 * What a v1 engine is asked: a request with its defaults filled in.
 *
 * @category models
 * @since 0.1.0
 */
export interface ResolvedRequest {
  readonly query: string
  readonly parameters: Parameters
  readonly format: Format
  readonly queryId: string
  readonly timeout: Duration.Duration | undefined
}

/**
 * What a v1 engine answers: the columns where they are known before the first byte, and the encoded result.
 *
 * @category models
 * @since 0.1.0
 */
export interface QueryResult {
  readonly columns?: ReadonlyArray<Column> | undefined
  /** See `AcceptedQuery`. */
  readonly chunks: Stream.Stream<Uint8Array, QueryError>
}

/**
 * A {@link QueryEngine} that speaks the v1 query API.
 *
 * **Details**
 *
 * `run` is called once per request, in the query's scope, with a request that is known to be well formed and
 * to ask for one of `formats`. Its failure is sent as the reject message, so it must have run nothing by
 * then; a failure of the chunks is sent as the error message.
 *
 * The request's `timeoutMs` covers `run` too. A reject would say that nothing was run (PROTOCOL.md §3), so a `run` that
 * takes too long is accepted, without columns, and fails with `timeout` at its first chunk.
 *
 * A request with a `traceparent` runs in a span `dataconn.query` below it, which ends with the query.
 *
 * A request beyond one of `limits` is rejected as `bad_request` before it is parsed. Throws a `RangeError` that
 * names the limit whose value cannot be one.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeEngine = (options: {
  readonly formats: ReadonlyArray<Format>
  readonly limits?: Limits.Options | undefined
  readonly run: (request: ResolvedRequest) => Effect.Effect<QueryResult, QueryError, Scope.Scope>
}): Engine => {
  const formats = new Set(options.formats)
  const limits = Limits.make(options.limits)

  const answer = (request: ResolvedRequest): Effect.Effect<QueryResult, QueryError, Scope.Scope> =>
    request.timeout === undefined
      ? options.run(request)
      : Effect.timeoutOrElse(options.run(request), {
          duration: request.timeout,
          orElse: () => Effect.succeed(timedOut)
        })

  return QueryEngine.of({
    init: Effect.fnUntraced(
      function* (payload): Effect.fn.Return<AcceptedQuery, QueryError, Scope.Scope> {
        const request = yield* Effect.fromResult(decodeRequest(payload, formats, limits))
        const resolved = yield* resolve(request)
        const result = yield* traced(answer(resolved), request)
        return {
          payload: encodeAccepted(
            new QueryAccepted({
              format: resolved.format,
              queryId: resolved.queryId,
              ...(result.columns === undefined ? {} : { columns: result.columns })
            })
          ),
          chunks: Stream.mapError(result.chunks, (error) => new QueryFailed({ payload: encodeError(error) })),
          timeout: resolved.timeout
        }
      },
      Effect.mapError((error) => new QueryRejected({ payload: encodeError(error) }))
    )
  })
}

const timedOut: QueryResult = {
  chunks: Stream.fail(queryError("timeout", "The query did not start within its timeoutMs"))
}

const resolve = Effect.fnUntraced(function* (request: QueryRequest): Effect.fn.Return<ResolvedRequest> {
  return {
    query: request.query,
    parameters: request.parameters ?? [],
    format: request.format ?? defaultFormat,
    queryId: request.queryId ?? (yield* randomId),
    timeout: request.timeoutMs === undefined ? undefined : Duration.millis(request.timeoutMs)
  }
})

const randomId: Effect.Effect<string> = Effect.map(
  Effect.all([Random.nextIntBetween(0, 2 ** 32), Random.nextIntBetween(0, 2 ** 32)]),
  (words) => words.map((word) => word.toString(16).padStart(8, "0")).join("")
)

const traced = (
  effect: Effect.Effect<QueryResult, QueryError, Scope.Scope>,
  request: QueryRequest
): Effect.Effect<QueryResult, QueryError, Scope.Scope> => {
  if (request.traceparent === undefined) return effect
  const parent = HttpTraceContext.w3c(Headers.fromInput({ traceparent: request.traceparent }))
  if (Option.isNone(parent)) return effect
  return Effect.flatMap(
    Effect.makeSpanScoped("dataconn.query", { parent: parent.value, kind: "server" }),
    (span) =>
      Effect.map(Effect.withParentSpan(effect, span), (result) => ({
        ...result,
        chunks: Stream.provideService(result.chunks, Tracer.ParentSpan, span)
      }))
  )
}

const utf8 = new TextDecoder("utf-8", { fatal: true })
const lossyUtf8 = new TextDecoder("utf-8")
const encoder = new TextEncoder()

const encodeJson = (body: unknown): Uint8Array => encoder.encode(JSON.stringify(body))

const parseJson = (payload: Uint8Array): Result.Result<unknown, string> =>
  Result.try({
    try: (): unknown => JSON.parse(utf8.decode(payload)),
    catch: (cause) => (cause instanceof SyntaxError ? `not JSON: ${cause.message}` : "not UTF-8")
  })

const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

/** The first thing wrong, with the field that it is wrong in. */
const describe = (error: Schema.SchemaError): string => {
  const issue = formatIssue(error.issue).issues[0]
  if (issue === undefined) return error.message
  const path = (issue.path ?? []).map((key) => String(typeof key === "object" ? key.key : key)).join(".")
  return path === "" ? issue.message : `${path}: ${issue.message}`
}

const decodeQueryRequest = Schema.decodeUnknownResult(QueryRequest)

const decodeRequest = (
  payload: Uint8Array,
  formats: ReadonlySet<Format>,
  limits: Limits.RequestLimits
): Result.Result<QueryRequest, QueryError> => {
  const excess = exceeded(payload, limits)
  if (excess !== undefined) return bad("bad_request", excess)
  const json = parseJson(payload)
  if (Result.isFailure(json)) return bad("bad_request", `The request is ${json.failure}`)
  const body = json.success
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    return bad("bad_request", "The request is not a JSON object")
  }
  // The version decides what the other fields mean, so it is looked at before them.
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
  return Result.mapError(decodeQueryRequest(body), (error) => queryError("bad_request", describe(error)))
}

/** The fields of a request beside its parameters have values and names too. */
const ownValues = 256

const exceeded = (payload: Uint8Array, limits: Limits.RequestLimits): string | undefined => {
  const { maxNesting, maxParameters } = limits
  const bounds = { levels: maxNesting + 1, values: maxParameters + ownValues }
  switch (JsonBounds.exceeded(payload, bounds)) {
    case "levels":
      return `parameters: more than ${maxNesting} levels of lists and objects (maxNesting)`
    case "values":
      return `parameters: more than ${maxParameters} values and names of members (maxParameters)`
    case undefined:
      return undefined
  }
}

const isLonger = (text: string, bytes: number): boolean =>
  text.length > bytes || Buffer.byteLength(text) > bytes

const bad = (code: ErrorCode, message: string): Result.Result<never, QueryError> =>
  Result.fail(queryError(code, message))

const encodeAccepted = (accepted: QueryAccepted): Uint8Array =>
  encodeJson({ format: accepted.format, queryId: accepted.queryId, columns: accepted.columns })

/**
 * Encodes a {@link QueryError} as the body of a reject or error message; a long message is cut.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encodeError = (error: QueryError): Uint8Array =>
  encodeJson({
    code: error.code,
    message: ErrorMessage.bounded(error.message),
    retryable: error.retryable,
    position: error.position,
    retryAfterMs: error.retryAfterMs
  })

/**
 * Encodes a request's body; `version` is filled in.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encodeRequest = (
  request: Omit<ConstructorParameters<typeof QueryRequest>[0], "version">
): Uint8Array => encodeJson({ version: "v1", ...request })

const decodeQueryAccepted = Schema.decodeUnknownResult(QueryAccepted)

/**
 * Decodes the body of an accept. A body that is none fails with a {@link QueryError} of code `internal`: the
 * server is at fault, not the query.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decodeAccepted = (payload: Uint8Array): Result.Result<QueryAccepted, QueryError> =>
  parseJson(payload).pipe(
    Result.flatMap((body) => Result.mapError(decodeQueryAccepted(body), describe)),
    Result.mapError((reason) => queryError("internal", `The server sent an undecodable accept: ${reason}`))
  )

const decodeQueryError = Schema.decodeUnknownResult(
  Schema.Struct({
    code: ErrorCode,
    message: Schema.NonEmptyString,
    retryable: Schema.Boolean,
    position: Schema.optional(Schema.Int),
    retryAfterMs: Schema.optional(Schema.Int)
  })
)

/**
 * Decodes the body of a reject or error.
 *
 * **Details**
 *
 * Never fails: a body of another shape gives a {@link QueryError} with code `internal` and the body's
 * `message`, or else its text, so that what an unknown server had to say is not lost.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decodeError = (payload: Uint8Array): QueryError => {
  const body = Result.getOrUndefined(parseJson(payload))
  const decoded = decodeQueryError(body)
  if (Result.isSuccess(decoded)) return new QueryError(decoded.success)
  const message =
    typeof body === "object" && body !== null && "message" in body && typeof body.message === "string"
      ? body.message
      : lossyUtf8.decode(payload)
  return queryError("internal", message)
}
