/**
 * A client of one DataConn server, over one connection.
 *
 * **When to use**
 *
 * To run one query at a time: `connect` or `layerConnect` for a server by its address, `make` or `layer` over any
 * Effect `Socket`. `ClientPool` provides the same service over several connections.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Pull from "effect/Pull"
import type * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as Socket from "effect/socket/Socket"
import type * as QueryApi from "../engine/QueryApi.ts"
import type { QueryFailed, QueryRejected } from "../engine/QueryEngine.ts"
import * as Timers from "../loop/Timers.ts"
import * as Address from "../net/Address.ts"
import * as Tcp from "../net/Tcp.ts"
import * as Transport from "../net/Transport.ts"
import * as ClientConnection from "./ClientConnection.ts"
import type * as ClientError from "./ClientError.ts"
import * as ClientFailure from "./ClientFailure.ts"
import * as Service from "./ClientService.ts"
import { Requests } from "./Requests.ts"
import type * as Rows from "./Rows.ts"
import { defaults, over, type Settings } from "./Settings.ts"

export { defaults, type Settings } from "./Settings.ts"

/**
 * An accepted request: the payload of the accept, and the result as it arrives.
 *
 * @category models
 * @since 0.1.0
 */
export interface Response {
  readonly payload: Uint8Array
  /**
   * Separates the body of the final message from the chunks, if the accept announces one. Call it before the
   * chunks are read, in a response to a request with `holdsFinal`. It returns the function that gives the
   * body once the chunks have ended.
   */
  readonly separate: () => () => Uint8Array | undefined
  /** Whether the end of the response has arrived, so that no chunk needs to be waited for. */
  readonly hasEnded: () => boolean
  /**
   * The result, which is consumed once. The consumer owns each chunk: it may keep it, or release it
   * (`Chunk.release`) after use. Over TCP and Unix sockets released memory is reused for reads, which is up
   * to twice as fast for large results. Chunks may share one `ArrayBuffer`: copy a chunk before its buffer is
   * transferred to another thread, which would empty the others.
   */
  readonly chunks: Stream.Stream<Uint8Array, QueryFailed | ClientError.ClientError>
  /** The same for a consumer that pulls arrived chunks, batch by batch. Consume exactly one of the two. */
  readonly pull: Pull.Pull<
    readonly [Uint8Array, ...ReadonlyArray<Uint8Array>],
    QueryFailed | ClientError.ClientError
  >
}

/**
 * Options of one request.
 *
 * @category settings
 * @since 0.1.0
 */
export interface RequestOptions {
  /**
   * Whether the body of the final message is buffered until it is whole, because it may be separate from the
   * chunks. Default: no.
   */
  readonly holdsFinal?: boolean | undefined
  /**
   * Called when the server has completed the response, before the scope has closed, also if the request was
   * cancelled too late. Changes of the query are committed by then.
   */
  readonly onComplete?: (() => void) | undefined
  /** Called each time the request is sent. Until then nothing is run. */
  readonly onSent?: (() => void) | undefined
  /**
   * Called when the response must end: other requests wait for its connection, and it has not been read for
   * longest. Its scope should then close. Without this callback the response is not evicted. See `maxStalled`
   * of a pool.
   */
  readonly onEvicted?: (() => void) | undefined
}

/**
 * An accepted query: the server's accept, and the encoded result as it arrives.
 *
 * @category models
 * @since 0.1.0
 */
export interface QueryResponse {
  readonly accepted: QueryApi.QueryAccepted
  /**
   * The server's receipt for the result, once the chunks have ended; `undefined` without a `receipt` in the
   * accept.
   */
  readonly receipt: () => Result.Result<QueryApi.Receipt, QueryApi.QueryError> | undefined
  /** Like those of a {@link Response}. */
  readonly chunks: Stream.Stream<Uint8Array, QueryApi.QueryError | ClientError.ClientError>
}

/**
 * A query of the v1 API: the fields of a request except for its version.
 *
 * @category models
 * @since 0.1.0
 */
export interface Query extends QueryFields {}

type QueryFields = Parameters<typeof QueryApi.encodeRequest>[0]

/**
 * A client.
 *
 * **Details**
 *
 * One request is in flight at a time on a connection; another waits for the end of its response. The response
 * belongs to the scope. Closing the scope early, ending the stream early, or interrupting either the stream
 * or the request cancels the query. The client then waits for the server's acknowledgement for at most
 * `cancelTimeout`, and drops the connection after that.
 *
 * Little is read from the socket ahead of the result's consumer, so a slow consumer slows the query down. The
 * result ends only if it is whole: a connection that ends sooner fails it. The borders of chunks have no
 * meaning: a chunk of the server may arrive in parts.
 *
 * A {@link ClientError} ends the connection, and further requests fail. Make another client then; a reason of
 * `ConnectionClosed` means that this request was not sent. Only `TooManyRequests` (`maxQueuedRequests`),
 * `RequestTooLarge` (`maxRequestSize`) and `RequestTimeout` (`requestTimeout`) leave the connection usable.
 * `retryable` is true if no part of the request can have been run.
 *
 * A server that sends not even a heartbeat for `heartbeatTolerance` is considered dead, between requests too.
 *
 * **Gotchas**
 *
 * A request waits until `requestTimeout` if its own scope holds an unfinished response. `Effect.scoped` around the
 * use of each response avoids it.
 *
 * @category services
 * @since 0.1.0
 */
export interface ClientService {
  /**
   * Sends a request and waits for its accept. A rejected request fails with `QueryRejected`: the server has
   * run nothing. A query that fails later fails the stream with `QueryFailed`.
   */
  readonly request: (
    body: Uint8Array,
    options?: RequestOptions
  ) => Effect.Effect<Response, QueryRejected | ClientError.ClientError, Scope.Scope>
  /**
   * The same by the v1 API. A `QueryError` of the effect was a reject, so nothing was run. The exception is
   * code `internal`, which may also mean an accept that cannot be read, or has another format than the query:
   * that query was cancelled. A `QueryError` of the stream means that the chunks before it are incomplete.
   *
   * A query without a `traceparent` gets that of the caller's current span, if there is one.
   */
  readonly query: (
    query: Query
  ) => Effect.Effect<QueryResponse, QueryApi.QueryError | ClientError.ClientError, Scope.Scope>
  /**
   * The rows of a query, decoded by a schema; see `Rows` for the conversion of values. Nothing is sent before
   * the stream is run. Leaving it before its end cancels the query.
   */
  readonly rows: {
    (query: Rows.RowsQuery, schema?: undefined): Stream.Stream<Rows.Row, Rows.Failure>
    <A, R>(query: Rows.RowsQuery, schema: Schema.ConstraintDecoder<A, R>): Stream.Stream<A, Rows.Failure, R>
  }
  /**
   * The progress of a query that the server runs and that was accepted with `progress`: its `queryId` is in
   * the accept. Fails with a `QueryError` of code `not_found` if the query has ended, or runs elsewhere.
   *
   * This is a separate request. A client with one connection sends it only after the response of a running
   * query has ended: ask another client, or a pool.
   */
  readonly progress: (
    queryId: string
  ) => Effect.Effect<QueryApi.QueryProgress, QueryApi.QueryError | ClientError.ClientError>
  /**
   * Whether a request would be taken, as far as this side knows. A client: whether its connection is open and
   * bytes of its server have arrived within `heartbeatTolerance`. A pool: false while it waits to reconnect
   * and has no connection.
   */
  readonly isOpen: () => boolean
}

/**
 * The client's service; see {@link ClientService}.
 *
 * @category services
 * @since 0.1.0
 */
export class Client extends Context.Service<Client, ClientService>()("dataconn/client/Client") {}

/**
 * Makes a client over a socket and connects it. The scope owns the connection. `server` is the name of the
 * server in errors.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  socket: Socket.Socket,
  settings: Partial<Settings> = {},
  server = "the server"
): Effect.Effect<ClientService, ClientError.ClientError, Scope.Scope> =>
  makeOver(Transport.fromSocket(socket), settings, server)

const makeOver = Effect.fnUntraced(function* (
  transport: Transport.Open,
  settings: Partial<Settings>,
  server: string
): Effect.fn.Return<ClientService, ClientError.ClientError, Scope.Scope> {
  const all = over(defaults, settings)
  const options = ClientConnection.options(all, server)
  const timers = yield* Timers.use
  const requests = new Requests({
    ...options,
    maxQueuedRequests: all.maxQueuedRequests,
    maxRequestSize: all.maxRequestSize,
    timers
  })
  const connection = yield* ClientConnection.make(transport, options, {
    freed: (connection) => void requests.offer(connection),
    ended: (_, why, unsent) => {
      if (unsent !== undefined && why._tag === "GoingAway") unsent.reject(why.payload)
      else if (unsent !== undefined) requests.again(unsent)
      requests.close(ClientFailure.beforeRequest(options, why))
    }
  }).pipe(Effect.provideService(Timers.Shared, timers))
  requests.offer(connection)
  return Client.of(Service.make(requests, all))
})

/**
 * Connects to a server by its address. The scope owns the connection.
 *
 * **Example** (Running a query)
 *
 * ```ts
 * import { Client } from "dataconn"
 * import { Effect, Stream } from "effect"
 *
 * export const count = Effect.gen(function* () {
 *   const client = yield* Client.connect("127.0.0.1:11653")
 *   const { accepted, chunks } = yield* client.query({ query: "SELECT count(*) FROM trades", format: "text/csv" })
 *   return [accepted.columns, yield* Stream.mkString(Stream.decodeText(chunks))] as const
 * }).pipe(Effect.scoped)
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const connect = <A extends Address.Input>(
  server: A,
  settings: Partial<Settings> = {}
): Effect.Effect<ClientService, ClientError.ClientError | Address.ErrorOf<A>, Scope.Scope> =>
  Effect.gen(function* () {
    const address = yield* Effect.fromResult(Address.fromInput(server))
    return yield* makeOver(Tcp.connect({ address }), settings, Address.format(address))
  })

/**
 * Provides a client over the provided socket.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  settings?: Partial<Settings>
): Layer.Layer<Client, ClientError.ClientError, Socket.Socket> =>
  Layer.effect(
    Client,
    Effect.flatMap(Socket.Socket, (socket) => make(socket, settings))
  )

/**
 * Provides a client of the server at an address.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConnect = <A extends Address.Input>(
  server: A,
  settings?: Partial<Settings>
): Layer.Layer<Client, ClientError.ClientError | Address.ErrorOf<A>> =>
  Layer.effect(Client, connect(server, settings))
