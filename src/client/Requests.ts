/** The requests of a client, and its free connections: the longest waiting request is next. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type { QueryRejected } from "../engine/QueryEngine.ts"
import type * as Timers from "../loop/Timers.ts"
import * as Message from "../protocol/Message.ts"
import * as Limit from "../settings/Limit.ts"
import type { RequestOptions } from "./Client.ts"
import type { ClientConnection } from "./ClientConnection.ts"
import type * as ClientError from "./ClientError.ts"
import * as ClientFailure from "./ClientFailure.ts"
import { Exchange, type Line, used } from "./Exchange.ts"

/** The source of more connections. */
export interface Supply {
  /** The number of connections that may still be made. As many waiting requests do not count as queued. */
  readonly left: () => number
  /** Called when a request waits. */
  readonly wanted: () => void
  /** Called when fewer requests wait, because some were abandoned. */
  readonly unwanted: () => void
  /**
   * The number of the longest waiting requests that wait for a connection to be made, and not for another
   * request.
   */
  readonly connecting: () => number
  /** Whether a request has a connection, or may have one made. */
  readonly isOpen: () => boolean
}

export interface Options extends ClientFailure.Names {
  /** The number of requests that may wait for the end of others. Further ones fail. */
  readonly maxQueuedRequests: number
  readonly timers: Timers.Timers
  /** How long a request waits for a connection. Default: until its timeout for the accept. */
  readonly queueTimeoutMillis?: number | undefined
  /** The maximum size of a request, header included. Longer ones fail. Default: no limit. */
  readonly maxRequestSize?: number | undefined
}

export class Requests implements Line {
  private readonly options: Options
  private readonly supply: Supply
  /** At least one of the two is empty. The most recently used connections are last. */
  private readonly waiting: Array<Exchange> = []
  private readonly free: Array<ClientConnection> = []
  /** Connections that were free, and are being checked for received bytes. */
  private readonly checking = new Set<ClientConnection>()
  /** The deadline of the longest waiting request. */
  private readonly deadline: Timers.Deadline
  /** The reason why no more requests are taken. */
  private closed: Cause.Cause<ClientError.ClientError> | undefined

  constructor(options: Options, supply: Supply = noSupply) {
    Limit.count("maxQueuedRequests", options.maxQueuedRequests, 0)
    if (options.maxRequestSize !== undefined) {
      Limit.size("maxRequestSize", options.maxRequestSize, Message.headerSize)
    }
    this.options = options
    this.supply = supply
    this.deadline = options.timers.deadline(() => this.expired())
  }

  get isOpen(): boolean {
    return this.closed === undefined && this.supply.isOpen()
  }

  /** The number of waiting requests. */
  get size(): number {
    return this.waiting.length
  }

  /** The number of waiting requests that no connection is being checked for. */
  get wanting(): number {
    return this.waiting.length - this.checking.size
  }

  /** The number of waiting requests that were made at this time or before, in milliseconds of the timers. */
  countSince(at: number): number {
    const later = this.waiting.findIndex(({ startedAt }) => startedAt > at)
    return later < 0 ? this.waiting.length : later
  }

  /** The time of the longest waiting request, in milliseconds of the timers. */
  get longestSince(): number | undefined {
    return this.waiting[0]?.startedAt
  }

  /** The connection that has been free for longest. */
  get longestFree(): ClientConnection | undefined {
    return this.free[0]
  }

  /**
   * Sends the request when it has a connection, and waits for its accept. `respond` makes the response from
   * the accept's payload. Closing the scope ends the response.
   */
  run<A>(
    body: Uint8Array,
    respond: (payload: Uint8Array, exchange: Exchange) => A,
    options?: RequestOptions
  ): Effect.Effect<A, QueryRejected | ClientError.ClientError, Scope.Scope> {
    return Effect.flatMap(Effect.scope, (scope) => {
      const exchange = new Exchange(body, this, this.options.timers.now(), options)
      const accepted = Effect.callback<A, QueryRejected | ClientError.ClientError>((resume) => {
        // The scope has closed already: the request would never end and would occupy a connection.
        if (exchange.ended) return resume(used)
        exchange.awaitAccept(respond, resume)
        this.enter(exchange)
        return Effect.suspend(() => exchange.finish())
      })
      return Effect.andThen(
        Scope.addFinalizerExit(scope, () => exchange.finish()),
        accepted
      )
    })
  }

  private enter(exchange: Exchange): void {
    const { maxQueuedRequests, maxRequestSize = Number.POSITIVE_INFINITY, server } = this.options
    const size = Message.headerSize + exchange.body.length
    if (size > maxRequestSize) {
      exchange.refuse(Cause.fail(ClientFailure.requestTooLarge(server, size, maxRequestSize)))
      return
    }
    if (this.sends(exchange, exchange.startedAt)) return
    if (this.waiting.length < maxQueuedRequests + this.supply.left()) {
      this.waiting.push(exchange)
      this.wait()
    } else {
      exchange.refuse(Cause.fail(ClientFailure.tooManyRequests(server, maxQueuedRequests)))
    }
  }

  /** A request that was not sent, because its connection had ended, is next on another one. */
  again(exchange: Exchange): void {
    exchange.line = this
    if (this.sends(exchange, this.options.timers.now())) return
    this.waiting.unshift(exchange)
    this.wait()
  }

  private wait(): void {
    this.watch()
    this.supply.wanted()
  }

  private watch(): void {
    const { longestSince } = this
    if (longestSince !== undefined) this.deadline.set(longestSince + this.waitMillis)
  }

  private get waitMillis(): number {
    const { queueTimeoutMillis = Number.POSITIVE_INFINITY, requestTimeoutMillis } = this.options
    return Math.min(queueTimeoutMillis, requestTimeoutMillis)
  }

  private expired(): void {
    const last = this.options.timers.now() - this.waitMillis
    const connecting = this.supply.connecting()
    const over = this.waiting.splice(0, this.countSince(last))
    this.watch()
    if (over.length > 0) this.supply.unwanted()
    for (const [at, exchange] of over.entries()) {
      exchange.refuse(Cause.fail(this.waitedTooLong(at < connecting ? "connecting" : "waiting")))
    }
  }

  private waitedTooLong(phase: "connecting" | "waiting"): ClientError.ClientError {
    const { requestTimeoutMillis, server } = this.options
    return this.waitMillis < requestTimeoutMillis
      ? ClientFailure.queueTimedOut(server, this.waitMillis)
      : ClientFailure.requestTimedOut(this.options, phase)
  }

  /** Whether a request need not wait, because it is sent or refused at once. */
  private sends(exchange: Exchange, now: number): boolean {
    if (this.closed !== undefined) {
      exchange.refuse(this.closed)
      return true
    }
    const connection = this.take(now)
    connection?.send(exchange)
    return connection !== undefined
  }

  /** The most recently used free connection. One that may be dead is checked before it gets a request. */
  private take(now: number): ClientConnection | undefined {
    for (;;) {
      const connection = this.free.pop()
      if (connection === undefined || connection.isAliveAt(now)) return connection
      this.checking.add(connection)
      connection.check()
    }
  }

  /** A connection is free. Returns whether it stays free. */
  offer(connection: ClientConnection): boolean {
    this.checking.delete(connection)
    const next = this.waiting.shift()
    if (next === undefined) this.free.push(connection)
    else connection.send(next)
    return next === undefined
  }

  /** A connection is no longer free. */
  withdraw(connection: ClientConnection): void {
    this.checking.delete(connection)
    const at = this.free.indexOf(connection)
    if (at >= 0) this.free.splice(at, 1)
  }

  /** Ends this many of the longest waiting requests, for which there is no connection. */
  end(count: number, end: (next: Exchange) => void): void {
    for (const exchange of this.waiting.splice(0, count)) end(exchange)
  }

  /** Refuses all waiting and all later requests. */
  close(error: ClientError.ClientError): void {
    const cause = Cause.fail(error)
    this.closed = cause
    this.deadline.clear()
    this.end(this.waiting.length, (next) => next.refuse(cause))
  }

  // Nothing is read for a waiting request.
  starved(): void {}

  /** A waiting request is abandoned. */
  finish(exchange: Exchange): Effect.Effect<void> {
    const at = this.waiting.indexOf(exchange)
    if (at >= 0) {
      this.waiting.splice(at, 1)
      this.supply.unwanted()
    }
    exchange.end({ _tag: "Cancelled" })
    exchange.resume()
    return Effect.void
  }
}

/** There is only one connection. */
const noSupply: Supply = {
  left: () => 0,
  wanted: () => {},
  unwanted: () => {},
  connecting: () => 0,
  isOpen: () => true
}
