/**
 * What answers queries: the service that a connection asks once per request.
 *
 * The engine sees request and result bytes only; it knows neither socket nor frame. `init` either accepts,
 * with the payload of the accept message and the result as a stream of chunks, or fails with
 * {@link QueryRejected}, which is sent as the reject message.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as ErrorMessage from "./ErrorMessage.ts"

/**
 * The engine declined the request: nothing was run, so a retry is safe. `payload` is the body of the reject
 * message (`J`).
 *
 * @category errors
 * @since 0.1.0
 */
export class QueryRejected extends Schema.TaggedError<QueryRejected>()("QueryRejected", {
  payload: Schema.Uint8Array
}) {
  override get message() {
    return `The request was rejected: ${ErrorMessage.quoted(this.payload)}`
  }
}

/**
 * An accepted query failed. `payload` is the body of the error message (`E`), which ends the response; what
 * was streamed before it is incomplete by definition.
 *
 * @category errors
 * @since 0.1.0
 */
export class QueryFailed extends Schema.TaggedError<QueryFailed>()("QueryFailed", {
  payload: Schema.Uint8Array
}) {
  override get message() {
    return `The query failed: ${ErrorMessage.quoted(this.payload)}`
  }
}

/**
 * The engine could not even tell whether it accepts. The connection ends with reason `init`; the client
 * sees it closed.
 *
 * @category errors
 * @since 0.1.0
 */
export class QueryInitError extends Schema.TaggedError<QueryInitError>()("QueryInitError", {
  message: Schema.String,
  cause: Schema.optional(Schema.Defect())
}) {}

/**
 * How far an engine is with a query; each field is there where it is known. `fraction` is from 0 to 1. What an engine
 * counts as its rows is its own: those of a join are the rows of both tables, as a rule.
 *
 * @category models
 * @since 0.1.0
 */
export interface Progress {
  readonly fraction?: number | undefined
  readonly rowsProcessed?: number | undefined
  readonly totalRows?: number | undefined
}

/**
 * An accepted query.
 *
 * **Details**
 *
 * `payload` is the body of the accept message (`A`). Clients take at most 1 MiB of it, and of the payloads of
 * `QueryRejected` and `QueryFailed`, unless their `maxAcceptSize` or `maxErrorSize` says otherwise: a longer one ends their
 * connection as a violation of the protocol. `chunks` is the result: their concatenation is what the
 * client receives, in frames of at most the connection's `chunkSize`. A chunk belongs to the connection once
 * emitted and must not be changed afterwards. The stream is pulled ahead of the socket by a bounded number
 * of bytes and no further, so a client that stops reading stops the engine.
 *
 * An engine that wants the memory of a chunk back emits it as an owned one (`Chunk.owned`): it is released once its
 * bytes have been sent and nothing refers to them any more, or when the response ends without them. Of a large result
 * the garbage collector would otherwise have to find all of it.
 *
 * `commit` makes what the query has changed last. It runs once the client's socket has taken the whole result, and
 * before the message that ends the response. Whatever ends the query before it (a failure, a cancel, a limit, a client
 * that is gone) closes the query's scope without it, which has to undo everything. Once it has begun it is not
 * interrupted, and its outcome stands: success is told as complete, whatever the client may have sent meanwhile; a
 * `QueryFailed` means that nothing of the query is there. If that is not known either, its payload says
 * `unknown_outcome`, as the server says itself after a defect of `commit` or of a finalizer behind it.
 *
 * `final` gives the body of the final message (`F`) once the chunks have ended; all of them are in messages before it
 * then. Without it the last chunk is in the final message.
 *
 * `timeout` limits this query, from the request to its end; the shorter of it and the server's
 * `queryTimeout` counts. When it is over the query is interrupted and the response ends with an error. One that is no
 * duration, or less than zero, is a defect.
 *
 * `queryId` and `rows` are for logs and statistics: the name of the query, and how many rows its result has so far.
 *
 * `progress` says how far the engine is, as long as the query runs. It is called on behalf of other requests
 * ({@link Engine.progressOf}), which name the query by its `queryId`, and must be cheap. Without it nobody can ask.
 *
 * @category models
 * @since 0.1.0
 */
export interface AcceptedQuery {
  readonly payload: Uint8Array
  readonly chunks: Stream.Stream<Uint8Array, QueryFailed>
  readonly commit?: Effect.Effect<void, QueryFailed> | undefined
  readonly timeout?: Duration.Input | undefined
  readonly queryId?: string | undefined
  readonly rows?: (() => number | undefined) | undefined
  readonly progress?: (() => Progress) | undefined
  readonly final?: (() => Uint8Array) | undefined
}

/**
 * What answers queries.
 *
 * **Details**
 *
 * `init` is given the body of the request message. Interruption, of `init` as of `chunks`, is how a query is
 * cancelled: by the client, by a closed connection or by a stopping server. The scope is the query's own:
 * it closes when the query has ended in whichever way, before the client is told: a finalizer that breaks ends
 * the response of a query that was complete with an error.
 *
 * A defect is logged with its cause and answered with the code `internal`. So is what has another type than this says,
 * such as a `Promise` in place of an effect, and a query that the engine interrupts itself.
 *
 * @category services
 * @since 0.1.0
 */
export interface Engine {
  readonly init: (
    request: Uint8Array
  ) => Effect.Effect<AcceptedQuery, QueryRejected | QueryInitError, Scope.Scope>
  /**
   * The `queryId` of the query whose progress this request asks for, if it does and is no query. The server answers it
   * by the v1 query API (PROTOCOL.md §3) and does not give it to `init`. Called for every request.
   */
  readonly progressOf?: ((request: Uint8Array) => string | undefined) | undefined
  /**
   * Called by a server that starts, with the number of queries that it runs at a time. An engine that is not made for
   * so many logs a warning.
   */
  readonly expect?: ((maxConcurrentQueries: number) => Effect.Effect<void>) | undefined
}

/**
 * The service that answers queries; see {@link Engine}.
 *
 * **Example** (Answering each request with its own bytes)
 *
 * ```ts
 * import { QueryEngine } from "dataconn"
 * import { Effect, Layer, Stream } from "effect"
 *
 * export const Echo = Layer.succeed(QueryEngine.QueryEngine, {
 *   init: (request) =>
 *     request.length > 0
 *       ? Effect.succeed({ payload: new Uint8Array(0), chunks: Stream.make(request) })
 *       : Effect.fail(new QueryEngine.QueryRejected({ payload: new TextEncoder().encode("say something") }))
 * })
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class QueryEngine extends Context.Service<QueryEngine, Engine>()("dataconn/engine/QueryEngine") {}
