/**
 * The service that answers queries. A connection calls it once per request.
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
import { decodeError } from "./QueryErrorBody.ts"

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

  /** Whether the payload, by the v1 query API, says that the same request may succeed another time. */
  get retryable(): boolean {
    return decodeError(this.payload).retryable
  }
}

/**
 * An accepted query failed. `payload` is the body of the error message (`E`), which ends the response. The
 * chunks before it are incomplete by definition.
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

  /**
   * Whether the payload, by the v1 query API, says that nothing of the query has remained and the same request
   * may succeed another time.
   */
  get retryable(): boolean {
    return decodeError(this.payload).retryable
  }
}

/**
 * The engine failed before it could accept or reject. The connection ends with reason `init`, and the
 * client sees it close.
 *
 * @category errors
 * @since 0.1.0
 */
export class QueryInitError extends Schema.TaggedError<QueryInitError>()("QueryInitError", {
  message: Schema.String,
  cause: Schema.optional(Schema.Defect())
}) {}

/**
 * The progress of a query; each field is present if it is known. `fraction` is from 0 to 1. The meaning of
 * rows is the engine's own: for a join they are usually the rows of both tables.
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
 * `payload` is the body of the accept message (`A`). Clients accept at most 1 MiB of it, and of the payloads
 * of `QueryRejected` and `QueryFailed`, unless their `maxAcceptSize` or `maxErrorSize` says otherwise. A
 * longer payload ends their connection as a protocol violation. `chunks` is the result: the client receives
 * their concatenation, in frames of at most the connection's `chunkSize`. A chunk belongs to the connection
 * once emitted and must not be changed afterwards. The stream is pulled ahead of the socket by a bounded
 * number of bytes, so a client that stops reading stops the engine.
 *
 * An engine that reuses the memory of chunks emits owned ones (`Chunk.owned`). A chunk is released once its
 * bytes have been sent and nothing refers to them, or when the response ends without them. For a large result
 * this spares the garbage collector most of the work.
 *
 * `commit` makes the query's changes durable. It runs once the client's socket has taken the whole result,
 * and before the message that ends the response. If the query ends earlier (a failure, a cancel, a limit, a
 * lost client), its scope closes without `commit`, and has to undo all changes. A commit is not interrupted
 * once it has begun, and its outcome stands. Success is reported as complete, even if the client has
 * cancelled meanwhile. A `QueryFailed` means that no change was made. If that is unknown too, its payload
 * says `unknown_outcome`; the server says so itself after a defect of `commit` or of a finalizer behind it.
 *
 * `final` returns the body of the final message (`F`) once the chunks have ended; all chunks are then in
 * messages before it. Without `final` the last chunk is in the final message.
 *
 * `timeout` limits this query, from the request to its end; the shorter of it and the server's `queryTimeout`
 * applies. On timeout the query is interrupted and the response ends with an error. An invalid or negative
 * duration is a defect.
 *
 * `queryId` and `rows` are for logs and statistics: the name of the query, and the rows of its result so far.
 *
 * `progress` returns the query's progress while it runs. It is called on behalf of other requests
 * ({@link Engine.progressOf}), which name the query by its `queryId`, and must be cheap. Without it the
 * progress is unavailable.
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
 * An engine that answers queries.
 *
 * **Details**
 *
 * `init` takes the body of the request message. Interruption, of `init` as of `chunks`, is how a query is
 * cancelled: by the client, by a closed connection or by a stopping server. The scope is the query's own. It
 * closes when the query has ended in any way, before the end is sent to the client, so a failing finalizer
 * turns a complete response into an error.
 *
 * A defect is logged with its cause and answered with the code `internal`. So are values of another type than
 * declared here, such as a `Promise` in place of an effect, and queries that the engine interrupts itself.
 *
 * @category services
 * @since 0.1.0
 */
export interface Engine {
  readonly init: (
    request: Uint8Array
  ) => Effect.Effect<AcceptedQuery, QueryRejected | QueryInitError, Scope.Scope>
  /**
   * The `queryId` of the query whose progress this request asks for, if it is a request for progress. The
   * server answers such a request by the v1 query API (PROTOCOL.md §3) and does not pass it to `init`. Called
   * for every request.
   */
  readonly progressOf?: ((request: Uint8Array) => string | undefined) | undefined
  /**
   * Called by a starting server with its number of concurrent queries. An engine that cannot run so
   * many logs a warning.
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
