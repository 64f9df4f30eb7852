/**
 * The v1 query API: the meaning of message bodies for engines that answer textual queries.
 *
 * All bodies are UTF-8 JSON. Unknown fields are ignored, so fields can be added. {@link makeEngine} makes a
 * {@link QueryEngine} of a function from such a request to a result. The encoders and decoders at the end
 * are for clients.
 */
import * as Effect from "effect/Effect"
import * as Headers from "effect/http/Headers"
import * as HttpTraceContext from "effect/http/HttpTraceContext"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as Limit from "../settings/Limit.ts"
import * as Given from "./Given.ts"
import * as JsonBody from "./JsonBody.ts"
import * as Limits from "./Limits.ts"
import {
  type Column,
  decodeRequest,
  encodeAccepted,
  encodeError,
  Format,
  QueryAccepted,
  type QueryError,
  queryError
} from "./QueryBodies.ts"
import {
  type AcceptedQuery,
  type Engine,
  type Progress,
  QueryEngine,
  QueryFailed,
  QueryRejected
} from "./QueryEngine.ts"
import { queryErrorOf } from "./QueryErrorBody.ts"
import { progressOf } from "./QueryProgress.ts"
import * as Receipts from "./Receipts.ts"
import * as ResolvedRequest from "./ResolvedRequest.ts"

export { Metadata } from "./Metadata.ts"
export { Numeric } from "./Numeric.ts"
export type { Parameter } from "./ParameterValues.ts"
export {
  Column,
  decodeAccepted,
  decodeReceipt,
  defaultFormat,
  encodeAccepted,
  encodeRequest,
  Format,
  Numbers,
  Parameters,
  QueryAccepted,
  QueryRequest,
  Receipt,
  requestBody
} from "./QueryBodies.ts"
export { decodeError, ErrorCode, encodeError, QueryError, queryError } from "./QueryErrorBody.ts"
export {
  decodeProgress,
  encodeProgress,
  encodeProgressRequest,
  progressOf,
  QueryProgress
} from "./QueryProgress.ts"
export type { ResolvedRequest } from "./ResolvedRequest.ts"
export { Timestamp } from "./Timestamp.ts"

/**
 * The answer of a v1 engine: the encoded result, and the columns if they are known before the first byte.
 *
 * @category models
 * @since 0.1.0
 */
export interface QueryResult {
  readonly columns?: ReadonlyArray<Column> | undefined
  /**
   * Whether the engine ensures that the query changes nothing. The accept says so if the
   * request asked for it.
   */
  readonly readOnly?: boolean | undefined
  /** The rows of the result so far, if the engine counts them: for its receipt, and for logs. */
  readonly rows?: (() => number | undefined) | undefined
  /** The progress of the query, if the engine knows it. Called only for requests with `progress`. */
  readonly progress?: (() => Progress | undefined) | undefined
  /** See `AcceptedQuery`. */
  readonly chunks: Stream.Stream<Uint8Array, QueryError>
  /** See `AcceptedQuery`. */
  readonly commit?: Effect.Effect<void, QueryError> | undefined
}

/**
 * The parts of an engine that speaks the v1 query API; see {@link makeEngine}.
 *
 * @category models
 * @since 0.1.0
 */
export interface EngineOptions {
  readonly formats: ReadonlyArray<Format>
  readonly limits?: Limits.Options | undefined
  readonly admit?: ((request: ResolvedRequest.ResolvedRequest) => Effect.Effect<void, QueryError>) | undefined
  readonly run: (
    request: ResolvedRequest.ResolvedRequest
  ) => Effect.Effect<QueryResult, QueryError, Scope.Scope>
}

const checks: Limit.Checks<EngineOptions> = {
  formats: Limit.each((name, format: Format) => Limit.oneOf(name, format, Format.literals)),
  limits: (_, given: Limits.Options) => Limits.make(given),
  admit: Limit.callback,
  run: Limit.callback
}

/**
 * A {@link QueryEngine} that speaks the v1 query API.
 *
 * **Details**
 *
 * `run` is called once per request, in the query's scope, with a request that is well formed and asks for one
 * of `formats`. A failure of `run` is sent as the reject message, so `run` must not have executed anything by
 * then. A failure of the chunks is sent as the error message.
 *
 * The request's `timeoutMs` covers `run` too. A reject would mean that nothing was run (PROTOCOL.md §3), so
 * the server accepts a request whose `run` takes too long, without columns, and fails it with `timeout` at
 * its first chunk.
 *
 * `admit` is called before `run`, with the same request. It fails for callers that the request's `metadata`
 * does not permit, usually with `not_allowed`. The error is sent as the reject message.
 *
 * A request with `progress` is accepted with it, and other requests may ask for the query's progress
 * (`AcceptedQuery`): its elapsed time, and the `progress` of the result.
 *
 * A request with a `traceparent` runs in a span `dataconn.query` below it, which ends with the query.
 *
 * A value of another type than these functions declare is a defect that names the function, and so is a
 * failure that is no {@link QueryError}: the server logs it and answers `internal`.
 *
 * A request beyond one of `limits` is rejected as `bad_request` before it is parsed. Throws a `RangeError`
 * that names an invalid limit or part.
 *
 * **Example** (An engine that knows one table)
 *
 * ```ts
 * import { QueryApi, QueryEngine } from "dataconn"
 * import { Effect, Layer, Stream } from "effect"
 *
 * export const Planets = Layer.succeed(
 *   QueryEngine.QueryEngine,
 *   QueryApi.makeEngine({
 *     formats: ["text/csv"],
 *     run: ({ query }) =>
 *       query === "FROM planets"
 *         ? Effect.succeed({
 *             columns: [{ name: "name", type: "VARCHAR" }],
 *             chunks: Stream.encodeText(Stream.make("name\r\n", "Mercury\r\n", "Venus\r\n"))
 *           })
 *         : Effect.fail(QueryApi.queryError("not_found", "There are only planets", { position: 1 }))
 *   })
 * )
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeEngine = (options: EngineOptions): Engine => {
  Limit.settings("QueryApi.makeEngine", options, checks, ["formats", "run"])
  const formats = new Set(options.formats)
  const limits = Limits.make(options.limits)

  const { admit } = options
  const run = (request: ResolvedRequest.ResolvedRequest) => Given.effect("run", options.run(request))
  const admitted =
    admit === undefined
      ? run
      : (request: ResolvedRequest.ResolvedRequest) =>
          Effect.flatMap(Given.effect("admit", admit(request)), () => run(request))

  const answer = (
    request: ResolvedRequest.ResolvedRequest
  ): Effect.Effect<QueryResult, QueryError, Scope.Scope> =>
    request.timeout === undefined
      ? admitted(request)
      : Effect.timeoutOrElse(admitted(request), {
          duration: request.timeout,
          orElse: () => Effect.succeed(timedOut)
        })

  return QueryEngine.of({
    progressOf,
    init: Effect.fnUntraced(
      function* (payload): Effect.fn.Return<AcceptedQuery, QueryError, Scope.Scope> {
        const request = yield* Effect.fromResult(decodeRequest(payload, formats, limits))
        const resolved = yield* ResolvedRequest.of(request)
        const answered = yield* traced(Effect.map(answer(resolved), whole), request.traceparent)
        const receipt =
          request.receipt === true ? yield* Receipts.make(resolved.queryId, answered.rows) : undefined
        const result =
          receipt === undefined ? answered : { ...answered, chunks: receipt.counted(answered.chunks) }
        return {
          payload: encodeAccepted(
            accepted({
              format: resolved.format,
              queryId: resolved.queryId,
              ...(result.columns === undefined ? {} : { columns: result.columns }),
              ...(resolved.readOnly && result.readOnly === true ? { readOnly: true } : {}),
              ...(receipt === undefined ? {} : { receipt: true }),
              ...(resolved.progress ? { progress: true } : {})
            })
          ),
          chunks: Stream.mapError(result.chunks, failed),
          commit: result.commit && Effect.mapError(result.commit, failed),
          timeout: resolved.timeout,
          queryId: resolved.queryId,
          rows: result.rows,
          ...(resolved.progress ? { progress: () => result.progress?.() ?? {} } : {}),
          ...(receipt === undefined ? {} : { final: receipt.encode })
        }
      },
      Effect.mapError((error) => new QueryRejected({ payload: encodeError(queryErrorOf(error)) }))
    )
  })
}

const accepted = (fields: ConstructorParameters<typeof QueryAccepted>[0]): QueryAccepted =>
  JsonBody.make("run", () => new QueryAccepted(fields))

const failed = (error: QueryError): QueryFailed =>
  new QueryFailed({ payload: encodeError(queryErrorOf(error)) })

/** The result, checked to have its required fields. */
const whole = (result: QueryResult): QueryResult => {
  if (typeof result !== "object" || result === null) throw Given.mismatch("run", "a result", result)
  const { chunks, commit } = result
  if (!Stream.isStream(chunks)) throw Given.mismatch("chunks", "a Stream", chunks)
  if (commit !== undefined && !Effect.isEffect(commit)) throw Given.mismatch("commit", "an Effect", commit)
  return result
}

const timedOut: QueryResult = {
  chunks: Stream.fail(
    queryError(
      "timeout",
      "The query was not accepted within its timeoutMs: it waited, or was being prepared, for longer"
    )
  )
}

/**
 * Runs a query and its result in a span `dataconn.query`, as a child of the span of a valid
 * W3C `traceparent`.
 *
 * @category tracing
 * @since 0.1.0
 */
export const traced = <A extends { readonly chunks: Stream.Stream<Uint8Array, unknown> }, E, R>(
  effect: Effect.Effect<A, E, R>,
  traceparent: string | undefined
): Effect.Effect<A, E, R | Scope.Scope> => {
  if (traceparent === undefined) return effect
  const parent = HttpTraceContext.w3c(Headers.fromInput({ traceparent }))
  if (Option.isNone(parent)) return effect
  return Effect.flatMap(
    Effect.makeSpanScoped("dataconn.query", { parent: parent.value, kind: "server" }),
    (span) =>
      Effect.map(Effect.withParentSpan(effect, span), (result) => ({
        ...result,
        chunks: Stream.provideService(result.chunks, Tracer.ParentSpan, span)
      }))
  ) as Effect.Effect<A, E, R | Scope.Scope>
}
