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
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as Limits from "./Limits.ts"
import * as Metadata from "./Metadata.ts"
import {
  type Column,
  decodeRequest,
  defaultFormat,
  encodeAccepted,
  encodeError,
  type Format,
  type Numbers,
  type Parameters,
  QueryAccepted,
  type QueryError,
  type QueryRequest,
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
import { progressOf } from "./QueryProgress.ts"
import * as Receipts from "./Receipts.ts"

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
export { Timestamp } from "./Timestamp.ts"

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
  readonly numbers: Numbers
  readonly queryId: string
  readonly timeout: Duration.Duration | undefined
  /** Who asks, as the front-end says it; empty where it says nothing. Not to be logged. */
  readonly metadata: Metadata.Metadata
  /** Whether the query must change nothing. */
  readonly readOnly: boolean
  /** Whether the progress of the query may be asked for. Otherwise the engine need not keep account of it. */
  readonly progress: boolean
}

/**
 * What a v1 engine answers: the columns where they are known before the first byte, and the encoded result.
 *
 * @category models
 * @since 0.1.0
 */
export interface QueryResult {
  readonly columns?: ReadonlyArray<Column> | undefined
  /** Whether the engine sees to it that the query changes nothing. The accept says so if the request asked for it. */
  readonly readOnly?: boolean | undefined
  /** The rows of the result so far, where the engine counts them: for its receipt, and for logs. */
  readonly rows?: (() => number | undefined) | undefined
  /** How far the engine is, where it knows. Called only for requests with `progress`. */
  readonly progress?: (() => Progress | undefined) | undefined
  /** See `AcceptedQuery`. */
  readonly chunks: Stream.Stream<Uint8Array, QueryError>
  /** See `AcceptedQuery`. */
  readonly commit?: Effect.Effect<void, QueryError> | undefined
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
 * `admit` is asked before `run`, with the same request: whoever its `metadata` does not allow to ask fails there, with
 * `not_allowed` as a rule. The error is sent as the reject message.
 *
 * A request with `progress` is accepted with it, and others may ask how far its query is (`AcceptedQuery`): for how long
 * it has run, and what the `progress` of the result knows.
 *
 * A request with a `traceparent` runs in a span `dataconn.query` below it, which ends with the query.
 *
 * A request beyond one of `limits` is rejected as `bad_request` before it is parsed. Throws a `RangeError` that
 * names the limit whose value cannot be one.
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
export const makeEngine = (options: {
  readonly formats: ReadonlyArray<Format>
  readonly limits?: Limits.Options | undefined
  readonly admit?: ((request: ResolvedRequest) => Effect.Effect<void, QueryError>) | undefined
  readonly run: (request: ResolvedRequest) => Effect.Effect<QueryResult, QueryError, Scope.Scope>
}): Engine => {
  const formats = new Set(options.formats)
  const limits = Limits.make(options.limits)

  const { admit, run } = options
  const admitted =
    admit === undefined
      ? run
      : (request: ResolvedRequest) => Effect.flatMap(admit(request), () => run(request))

  const answer = (request: ResolvedRequest): Effect.Effect<QueryResult, QueryError, Scope.Scope> =>
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
        const resolved = yield* resolve(request)
        const answered = yield* traced(answer(resolved), request.traceparent)
        const receipt =
          request.receipt === true ? yield* Receipts.make(resolved.queryId, answered.rows) : undefined
        const result =
          receipt === undefined ? answered : { ...answered, chunks: receipt.counted(answered.chunks) }
        return {
          payload: encodeAccepted(
            new QueryAccepted({
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
      Effect.mapError((error) => new QueryRejected({ payload: encodeError(error) }))
    )
  })
}

const failed = (error: QueryError): QueryFailed => new QueryFailed({ payload: encodeError(error) })

const timedOut: QueryResult = {
  chunks: Stream.fail(
    queryError(
      "timeout",
      "The query was not accepted within its timeoutMs: it waited, or was being prepared, for longer"
    )
  )
}

const resolve = Effect.fnUntraced(function* (request: QueryRequest): Effect.fn.Return<ResolvedRequest> {
  return {
    query: request.query,
    parameters: request.parameters ?? [],
    format: request.format ?? defaultFormat,
    numbers: request.numbers ?? "number",
    queryId: request.queryId ?? (yield* randomId),
    timeout: request.timeoutMs === undefined ? undefined : Duration.millis(request.timeoutMs),
    metadata: Metadata.bare(request.metadata),
    readOnly: request.readOnly ?? false,
    progress: request.progress ?? false
  }
})

const randomId: Effect.Effect<string> = Effect.map(
  Effect.all([Random.nextIntBetween(0, 2 ** 32), Random.nextIntBetween(0, 2 ** 32)]),
  (words) => words.map((word) => word.toString(16).padStart(8, "0")).join("")
)

/**
 * Runs a query, and its result, in a span `dataconn.query` below the one that a W3C `traceparent` names, if it does.
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
