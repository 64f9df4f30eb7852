/**
 * A client of the gateway's WebSocket for browsers: several queries at a time over one connection, with
 * back-pressure from the code that reads a result to the query.
 *
 * The module imports no other packages, and runs wherever there is a `WebSocket`.
 */

import { QueryError, type QueryRequest } from "./Models.ts"
import { Query } from "./Query.ts"
import * as Requests from "./Requests.ts"

export { type Accepted, type Column, QueryError, type QueryRequest, type Receipt } from "./Models.ts"
export { Query } from "./Query.ts"

interface Events {
  readonly open: object
  readonly message: { readonly data: unknown }
  readonly close: { readonly code: number; readonly reason: string }
}

/**
 * The required members of a `WebSocket`.
 *
 * @category models
 * @since 0.1.0
 */
export interface WebSocketLike {
  binaryType: string
  readonly send: (data: string) => void
  readonly close: (code?: number, reason?: string) => void
  readonly addEventListener: <K extends keyof Events>(type: K, listener: (event: Events[K]) => void) => void
}

/**
 * Options of a connection.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options {
  /** A bearer token, if the gateway requires one. */
  readonly token?: string
  /**
   * The number of bytes of each result that may be in transit or wait here to be read: an integer from 1 to
   * the gateway's `maxStreamCredit`. Default 1 MiB, or the gateway's limit if that is lower.
   */
  readonly credit?: number
  /** Makes the socket. Default: the global `WebSocket`. */
  readonly open?: (url: string, protocols: ReadonlyArray<string>) => WebSocketLike
}

/**
 * Options of one query.
 *
 * @category settings
 * @since 0.1.0
 */
export interface QueryOptions {
  /** Cancels the query. */
  readonly signal?: {
    readonly aborted: boolean
    readonly addEventListener: (type: "abort", listener: () => void) => void
  }
  /** As in {@link Options}. */
  readonly credit?: number
}

const defaultCredit = 1024 * 1024

const base64url = (text: string): string => {
  let binary = ""
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte)
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")
}

/**
 * A connection to a gateway.
 *
 * @category models
 * @since 0.1.0
 */
export class Connection {
  /**
   * Resolves with the reason when the connection has ended. Running queries have failed with
   * `connection_lost`, or with `shutting_down` if the gateway gave that reason.
   */
  readonly closed: Promise<string>
  /**
   * Resolves when the gateway has announced its limits.
   *
   * @internal
   */
  readonly greeted: Promise<void>
  private readonly socket: WebSocketLike
  private readonly credit: number | undefined
  private readonly queries = new Map<number, Query>()
  private readonly closing = Promise.withResolvers<string>()
  private readonly greeting = Promise.withResolvers<void>()
  private limits = Requests.noLimits
  private loss: QueryError | undefined
  private next = 1

  /** @internal */
  constructor(socket: WebSocketLike, credit: number | undefined) {
    this.socket = socket
    this.credit = credit
    this.closed = this.closing.promise
    this.greeted = this.greeting.promise
    socket.addEventListener("message", ({ data }) => this.received(data))
    socket.addEventListener("close", ({ code, reason }) =>
      this.ended(reason === "" ? `closed (${code})` : reason)
    )
  }

  /**
   * Runs a query. Others may run concurrently. An invalid query fails, and nothing is sent. The code is
   * `bad_request` if a value has no form in JSON (NaN, `undefined`, a `Date`, a `bigint` …) or the credit is
   * invalid, and `too_large` if the gateway does not take a request of this size.
   */
  query(request: QueryRequest, options: QueryOptions = {}): Query {
    const id = this.next++
    const query = new Query(id, {
      grant: (id, bytes) => this.send(JSON.stringify({ type: "credit", id, bytes })),
      cancel: (id) => this.send(JSON.stringify({ type: "cancel", id }))
    })
    const { signal } = options
    const credit = options.credit ?? this.credit ?? Math.min(defaultCredit, this.limits.maxCredit)
    const message = Requests.encode(request, { id, credit }, this.limits)
    if (message instanceof QueryError) query.fail(message)
    else if (this.loss !== undefined) query.fail(this.loss)
    else if (signal?.aborted === true)
      query.fail(new QueryError({ code: "cancelled", message: "Aborted before it ran" }))
    else {
      this.queries.set(id, query)
      this.send(message)
      signal?.addEventListener("abort", () => void query.cancel())
    }
    return query
  }

  /** Closes the connection; running queries are cancelled. */
  close(): void {
    this.socket.close(1000)
  }

  private send(message: string): void {
    if (this.loss === undefined) this.socket.send(message)
  }

  private received(data: unknown): void {
    if (typeof data !== "string") {
      const buffer = data as ArrayBuffer
      const id = new DataView(buffer).getUint32(0, true)
      this.queries.get(id)?.chunk(new Uint8Array(buffer, 4))
      return
    }
    const record = JSON.parse(data) as { readonly type: string; readonly id?: number }
    if (record.type === "limits") this.limits = record as unknown as Requests.Limits
    else if (record.type === "ping") this.send('{"type":"pong"}')
    else this.record(record.id ?? 0, record)
    this.greeting.resolve()
  }

  private record(id: number, record: { readonly type: string }): void {
    const query = this.queries.get(id)
    if (record.type !== "accepted") this.queries.delete(id)
    query?.received(record)
  }

  private ended(reason: string): void {
    this.loss = lost(reason)
    for (const query of this.queries.values()) query.fail(this.loss)
    this.queries.clear()
    this.closing.resolve(reason)
  }
}

/** A stopping gateway gives this reason once it has answered all queries that it runs. */
const lost = (reason: string): QueryError => {
  const [, message] = /^shutting_down: (.*)$/s.exec(reason) ?? []
  return message === undefined
    ? new QueryError({
        code: "connection_lost",
        message: `The connection to the gateway was lost: ${reason}`
      })
    : new QueryError({ code: "shutting_down", message, retryable: true })
}

/** Browsers do not report why a WebSocket was refused, so this asks the gateway with a plain request. */
const refusal = async (url: string, token: string | undefined, reason: string): Promise<QueryError> => {
  try {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
    const response = await fetch(url.replace(/^ws/i, "http"), { headers })
    const { code, detail, retryable } = (await response.json()) as {
      readonly code: string
      readonly detail: string
      readonly retryable: boolean
    }
    // The gateway would have accepted a WebSocket.
    if (response.status === 426)
      return lost(`${reason}; the gateway answers, but no WebSocket gets through to it`)
    if (typeof detail === "string") return new QueryError({ code, message: detail, retryable })
  } catch {}
  return lost(`${reason}; the gateway does not answer, or not to this page`)
}

/** A WebSocket throws for an invalid URL. */
const opened = (url: string, { open, token }: Options): WebSocketLike => {
  const protocols = ["dataconn.v1", ...(token === undefined ? [] : [`dataconn.token.${base64url(token)}`])]
  try {
    return open?.(url, protocols) ?? (new WebSocket(url, protocols) as unknown as WebSocketLike)
  } catch (error) {
    throw new QueryError({ code: "bad_request", message: `url: ${(error as Error).message}` })
  }
}

/**
 * Connects to a gateway: `ws://HOST:PORT/v1/stream`, or `wss://…`. Rejects with a {@link QueryError}: the
 * gateway's refusal, such as `unauthenticated`, `connection_lost` if it does not answer, or `bad_request` for
 * an invalid URL or credit.
 *
 * **Example** (Rows of a query as they come)
 *
 * ```ts
 * import { connect } from "dataconn/browser"
 *
 * const gateway = await connect("ws://127.0.0.1:8080/v1/stream")
 * for await (const row of gateway.query({ query: "SELECT * FROM trades" }).rows()) console.log(row)
 * gateway.close()
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const connect = async (url: string, options: Options = {}): Promise<Connection> => {
  const { credit, token } = options
  const wrong = credit === undefined ? undefined : Requests.creditError(credit, Requests.noLimits)
  if (wrong !== undefined) throw wrong
  const socket = opened(url, options)
  socket.binaryType = "arraybuffer"
  const connection = new Connection(socket, credit)
  const reason = await Promise.race([connection.greeted, connection.closed])
  if (typeof reason === "string") throw await refusal(url, token, reason)
  return connection
}
