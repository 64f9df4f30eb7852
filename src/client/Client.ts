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
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as Socket from "effect/socket/Socket"
import type * as QueryApi from "../engine/QueryApi.ts"
import type { QueryFailed, QueryRejected } from "../engine/QueryEngine.ts"
import * as Address from "../wire/Address.ts"
import * as Limit from "../wire/Limit.ts"
import * as NetTransport from "../wire/NetTransport.ts"
import * as Transport from "../wire/Transport.ts"
import * as ClientConnection from "./ClientConnection.ts"
import * as ClientError from "./ClientError.ts"
import * as ClientService from "./ClientService.ts"
import { Requests } from "./Requests.ts"
import { defaults, type Settings } from "./Settings.ts"

/** The result of a request as it comes, whose stream fails with `E`. One of the two is used, once. */
export interface Chunks<E> {
  /** Chunks that are the consumer's to keep. */
  readonly chunks: Stream.Stream<Uint8Array, E | ClientError.ClientError>
  /**
   * The same, lent: over TCP and Unix sockets their memory is read into again when the next are pulled, or the
   * response's scope closes. That is up to twice as fast for large results.
   *
   * **Gotchas**
   *
   * Only for consumers that have done with a chunk before they ask for the next, such as `Stream.runForEach` with
   * a write that is awaited. What keeps chunks or runs ahead (`runCollect`, `buffer`, a concurrent `mapEffect`)
   * would find other bytes in them.
   */
  readonly lentChunks: Stream.Stream<Uint8Array, E | ClientError.ClientError>
}

/** An accepted request: the payload of the accept, and the result as it comes. */
export interface Response extends Chunks<QueryFailed> {
  readonly payload: Uint8Array
}

/** An accepted query: what the server said about it, and the encoded result as it comes. */
export interface QueryResponse extends Chunks<QueryApi.QueryError> {
  readonly accepted: QueryApi.QueryAccepted
}

/** A query of the v1 API: the fields of a request but for its version. */
export type Query = Parameters<typeof QueryApi.encodeRequest>[0]

/**
 * The client's service.
 *
 * **Details**
 *
 * One request is in flight at a time; another waits for the end of its response. The response belongs to the
 * scope: closing it before the end, like ending the stream early, or interrupting that or the request, cancels the
 * query and waits until the server has acknowledged, for at most `cancelTimeout`; then the connection is dropped.
 *
 * The result is used once. Little is read from the socket ahead of its consumer, so a slow consumer slows the
 * query down. It ends only if the result is whole: a connection that ends sooner fails it. Where the result is cut
 * into chunks means nothing: a chunk of the server's may come in parts.
 *
 * A {@link ClientError} ends the connection, and further requests fail. Make another client then; a reason of
 * `ConnectionClosed` says that this request was not sent. Only `TooManyRequests` (`maxQueuedRequests`) says nothing
 * of the connection.
 *
 * **Gotchas**
 *
 * A request waits forever if its own scope holds an unfinished response. `Effect.scoped` around the use of
 * each response avoids it.
 */
export class Client extends Context.Service<
  Client,
  {
    /**
     * Sends a request and waits for its accept. A rejected request fails with `QueryRejected`: the server has
     * run nothing. A query that fails later fails the stream with `QueryFailed`.
     */
    readonly request: (
      body: Uint8Array
    ) => Effect.Effect<Response, QueryRejected | ClientError.ClientError, Scope.Scope>
    /**
     * The same by the v1 API. A `QueryError` of the effect was a reject, so nothing was run; but for one of code
     * `internal`, which may also be an accept that is none, or has another format than was asked for: that query
     * was cancelled. One of the stream means that what came before it is incomplete.
     */
    readonly query: (
      query: Query
    ) => Effect.Effect<QueryResponse, QueryApi.QueryError | ClientError.ClientError, Scope.Scope>
    /** Whether the connection can take a request, as far as is known here. */
    readonly isOpen: () => boolean
  }
>()("dataconn/client/Client") {}

/**
 * Makes a client over a socket and connects it. The scope owns the connection. `server` is what errors call
 * the other end.
 */
export const make = (
  socket: Socket.Socket,
  settings: Partial<Settings> = {},
  server = "the server"
): Effect.Effect<Client["Service"], ClientError.ClientError, Scope.Scope> =>
  makeOver(Transport.fromSocket(socket), settings, server)

const makeOver = Effect.fnUntraced(function* (
  transport: Transport.Open,
  settings: Partial<Settings>,
  server: string
): Effect.fn.Return<Client["Service"], ClientError.ClientError, Scope.Scope> {
  const all: Settings = { ...defaults, ...settings }
  const options = ClientConnection.options(all, server)
  const requests = new Requests({ server, maxQueuedRequests: all.maxQueuedRequests })
  const connection = yield* ClientConnection.make(transport, options, {
    freed: (connection) => void requests.offer(connection),
    ended: (_, why, unsent) => {
      if (unsent !== undefined) requests.again(unsent)
      requests.close(ClientError.beforeRequest(options, why))
    }
  })
  requests.offer(connection)
  return Client.of(ClientService.make(requests))
})

/** Connects to a server by its address. The scope owns the connection. */
export const connect = Effect.fnUntraced(function* (
  address: Address.Address,
  settings: Partial<Settings> = {}
): Effect.fn.Return<Client["Service"], ClientError.ClientError, Scope.Scope> {
  const timeout = Limit.duration("connectTimeout", settings.connectTimeout ?? defaults.connectTimeout)
  return yield* makeOver(NetTransport.connect({ address, timeout }), settings, Address.format(address))
})

/** Provides a client over the socket that is provided. */
export const layer = (
  settings?: Partial<Settings>
): Layer.Layer<Client, ClientError.ClientError, Socket.Socket> =>
  Layer.effect(
    Client,
    Effect.flatMap(Socket.Socket, (socket) => make(socket, settings))
  )

/** Provides a client of the server at an address. */
export const layerConnect = (
  address: Address.Address,
  settings?: Partial<Settings>
): Layer.Layer<Client, ClientError.ClientError> => Layer.effect(Client, connect(address, settings))
