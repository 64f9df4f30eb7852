/** The client's service over its requests: turns an accept into a response and its stream. */
import { Buffer } from "node:buffer"
import * as Channel from "effect/Channel"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Given from "../engine/Given.ts"
import * as Metadata from "../engine/Metadata.ts"
import * as QueryApi from "../engine/QueryApi.ts"
import { QueryFailed, type QueryRejected } from "../engine/QueryEngine.ts"
import * as Limit from "../settings/Limit.ts"
import * as Accept from "./Accept.ts"
import type { ClientService, Query, QueryResponse, RequestOptions, Response } from "./Client.ts"
import type { ClientError } from "./ClientError.ts"
import { type Exchange, used } from "./Exchange.ts"
import type { Requests } from "./Requests.ts"
import * as Rows from "./Rows.ts"
import type { Settings } from "./Settings.ts"
import * as Trace from "./Trace.ts"

/** `metadata` is added to every query, `maxRowSize` limits `rows`. */
export const make = (
  requests: Requests,
  { maxRowSize, metadata }: Pick<Settings, "maxRowSize" | "metadata">
): ClientService => {
  const query: ClientService["query"] = (one) =>
    Effect.contextWith((context: Context.Context<Scope.Scope>) =>
      runQuery(requests, traced(one, context), metadata)
    )
  const rows = <A, R>(one: Rows.RowsQuery, schema: Schema.ConstraintDecoder<A, R>) =>
    Stream.unwrap(
      Effect.map(query(Rows.query(one)), (response) => Rows.fromResponse(response, schema, { maxRowSize }))
    )
  return {
    request: (body, options) =>
      Effect.suspend(() => {
        if (options !== undefined) Limit.settings("a request", options, optionChecks)
        return requests.run(
          Given.bytes("request", body),
          (payload, exchange) => ({
            payload,
            separate: () => separate(exchange),
            hasEnded: () => exchange.ended,
            chunks: chunks(exchange, queryFailed),
            pull: pull(exchange)
          }),
          options
        )
      }),
    query,
    // The overload without a schema is the call without one.
    rows: rows as ClientService["rows"],
    progress: (queryId) => Effect.scoped(progressOf(requests, queryId)),
    isOpen: () => requests.isOpen
  }
}

/** The query, below the caller's span unless it says below which. */
const traced = (query: Query, context: Context.Context<never>): Query => {
  const traceparent = query.traceparent ?? Trace.parent(context)
  return traceparent === query.traceparent ? query : { ...query, traceparent }
}

const optionChecks: Limit.Checks<RequestOptions> = {
  holdsFinal: Limit.flag,
  onComplete: Limit.callback,
  onEvicted: Limit.callback,
  onSent: Limit.callback
}

const separate = (exchange: Exchange): (() => Uint8Array | undefined) => {
  exchange.keepLast()
  return () => exchange.final
}

const receiptOf =
  (final: () => Uint8Array | undefined): QueryResponse["receipt"] =>
  () => {
    const body = final()
    return body === undefined ? undefined : QueryApi.decodeReceipt(body)
  }

const noReceipt: QueryResponse["receipt"] = () => undefined

const queryFailed = (payload: Uint8Array): QueryFailed => new QueryFailed({ payload })

const chunks = <E>(
  exchange: Exchange,
  failed: (payload: Uint8Array) => E
): Stream.Stream<Uint8Array, E | ClientError> =>
  Stream.fromChannel(
    Channel.fromTransform((_, scope) =>
      Effect.suspend(() => {
        if (!exchange.claim()) return used
        const pull = exchange.pull(failed)
        // Nothing to cancel.
        if (exchange.ended) return Effect.succeed(pull)
        const finish = Scope.addFinalizerExit(scope, () => exchange.finish())
        return Effect.as(finish, pull)
      })
    )
  )

const pull = (exchange: Exchange): Response["pull"] => {
  const next = exchange.pull(queryFailed)
  let isConsumer = false
  return Effect.suspend(() => {
    isConsumer ||= exchange.claim()
    return isConsumer ? next : used
  })
}

type Responding = Effect.Effect<QueryResponse, QueryApi.QueryError>

const runQuery = (
  requests: Requests,
  one: Query,
  metadata: Settings["metadata"]
): Effect.Effect<QueryResponse, QueryApi.QueryError | ClientError, Scope.Scope> =>
  answered(
    Effect.suspend(() => {
      const query = withMetadata(one, metadata)
      const problem = problemOf(one.metadata) ?? problemOf(query.metadata)
      if (problem === undefined) {
        return Effect.flatMap(Effect.fromResult(QueryApi.requestBody(query)), (body) =>
          requests.run(body, respond(query), { holdsFinal: query.receipt === true })
        )
      }
      // A request that the server would reject is not sent.
      return Effect.fail(QueryApi.queryError("bad_request", `metadata: ${problem}`))
    })
  )

const withMetadata = (query: Query, metadata: Settings["metadata"]): Query =>
  metadata === undefined ? query : { ...query, metadata: { ...metadata, ...query.metadata } }

const problemOf = (metadata: Query["metadata"]): string | undefined =>
  metadata === undefined ? undefined : Metadata.problem(metadata)

/** The response to a request, with a reject as a `QueryError`. */
const answered = <R>(
  request: Effect.Effect<Responding, QueryRejected | QueryApi.QueryError | ClientError, R>
): Effect.Effect<QueryResponse, QueryApi.QueryError | ClientError, R> =>
  Effect.matchEffect(request, {
    onSuccess: identity,
    onFailure: (error) =>
      Effect.fail(error._tag === "QueryRejected" ? QueryApi.decodeError(error.payload) : error)
  })

/** The maximum size of an answer to a progress request. In bytes. */
const maxProgressSize = 64 * 1024

const progressOf = Effect.fnUntraced(function* (
  requests: Requests,
  queryId: string
): Effect.fn.Return<QueryApi.QueryProgress, QueryApi.QueryError | ClientError, Scope.Scope> {
  const request = requests.run(QueryApi.encodeProgressRequest(queryId), respond({ query: "" }))
  const { chunks } = yield* answered(request)
  let size = 0
  const bounded = Stream.tap(chunks, (chunk) => {
    size += chunk.length
    return size <= maxProgressSize ? Effect.void : Effect.fail(tooLong)
  })
  const body = Buffer.concat(yield* Stream.runCollect(bounded))
  return yield* Effect.fromResult(QueryApi.decodeProgress(body))
})

const tooLong = QueryApi.queryError("internal", "The server's account of the progress is too long")

const respond =
  (query: Query) =>
  (payload: Uint8Array, exchange: Exchange): Responding => {
    const accepted = Accept.decode(payload, query)
    if (Result.isFailure(accepted)) {
      return Effect.andThen(
        Effect.suspend(() => exchange.finish()),
        Effect.fail(accepted.failure)
      )
    }
    return Effect.succeed({
      accepted: accepted.success,
      receipt: accepted.success.receipt === true ? receiptOf(separate(exchange)) : noReceipt,
      chunks: chunks(exchange, QueryApi.decodeError)
    })
  }
