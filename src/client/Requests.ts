/**
 * The requests of a client, and the connections that are free for them: the request that waits longest is next.
 */
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

/** Where more connections come from. */
export interface Supply {
  /** How many may still come. As many requests wait for them, and are not counted as queued. */
  readonly left: () => number
  /** A request waits. */
  readonly wanted: () => void
  /** Fewer requests wait: those that have been given up need no connection. */
  readonly unwanted: () => void
  /** How many of the requests that wait longest wait for a connection to be made, and not for another request. */
  readonly connecting: () => number
  /** Whether a request has a connection, or may have one made. */
  readonly isOpen: () => boolean
}

export interface Options extends ClientFailure.Names {
  /** How many requests wait for the end of others. Those beyond fail. */
  readonly maxQueuedRequests: number
  readonly timers: Timers.Timers
  /** How long a request waits for a connection. Default: for as long as until it is accepted. */
  readonly queueTimeoutMillis?: number | undefined
  /** How long a request may be, header included. Longer ones fail. Default: no limit. */
  readonly maxRequestSize?: number | undefined
}

export class Requests implements Line {
  private readonly options: Options
  private readonly supply: Supply
  /** One of the two is empty. Those that were used last are the last of the free. */
  private readonly waiting: Array<Exchange> = []
  private readonly free: Array<ClientConnection> = []
  /** Those that were free, and are looked at for a sign of life. */
  private readonly checking = new Set<ClientConnection>()
  /** When the request that waits longest has waited for too long. */
  private readonly deadline: Timers.Deadline
  /** Why no request is taken any more. */
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

  /** How many wait. */
  get size(): number {
    return this.waiting.length
  }

  /** How many wait, and have no connection in sight. */
  get wanting(): number {
    return this.waiting.length - this.checking.size
  }

  /** How many of those that wait were asked for at a time or before, in milliseconds of the timers. */
  countSince(at: number): number {
    const later = this.waiting.findIndex(({ startedAt }) => startedAt > at)
    return later < 0 ? this.waiting.length : later
  }

  /** When the one that waits longest was asked for, in milliseconds of the timers. */
  get longestSince(): number | undefined {
    return this.waiting[0]?.startedAt
  }

  /** The connection that has been free for longest. */
  get longestFree(): ClientConnection | undefined {
    return this.free[0]
  }

  /**
   * Sends the request when it has a connection, and waits for its accept, of whose payload `respond` makes the
   * response. The scope ends that.
   */
  run<A>(
    body: Uint8Array,
    respond: (payload: Uint8Array, exchange: Exchange) => A,
    options?: RequestOptions
  ): Effect.Effect<A, QueryRejected | ClientError.ClientError, Scope.Scope> {
    return Effect.flatMap(Effect.scope, (scope) => {
      const exchange = new Exchange(body, this, this.options.timers.now(), options)
      const accepted = Effect.callback<A, QueryRejected | ClientError.ClientError>((resume) => {
        // Its scope has closed before it was here: a connection would be given a request that nobody ends.
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

  /** A request that was not sent on a connection that has ended is the next on another one. */
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

  /** Whether a request need not wait: it is sent, or refused. */
  private sends(exchange: Exchange, now: number): boolean {
    if (this.closed !== undefined) {
      exchange.refuse(this.closed)
      return true
    }
    const connection = this.take(now)
    connection?.send(exchange)
    return connection !== undefined
  }

  /** The free connection that was used last. One that may be dead is looked at before it is given a request. */
  private take(now: number): ClientConnection | undefined {
    for (;;) {
      const connection = this.free.pop()
      if (connection === undefined || connection.isAliveAt(now)) return connection
      this.checking.add(connection)
      connection.check()
    }
  }

  /** A connection is free. Whether it stays so. */
  offer(connection: ClientConnection): boolean {
    this.checking.delete(connection)
    const next = this.waiting.shift()
    if (next === undefined) this.free.push(connection)
    else connection.send(next)
    return next === undefined
  }

  /** A connection is not free any more. */
  withdraw(connection: ClientConnection): void {
    this.checking.delete(connection)
    const at = this.free.indexOf(connection)
    if (at >= 0) this.free.splice(at, 1)
  }

  /** There is no connection for so many of those that wait longest. */
  end(count: number, end: (next: Exchange) => void): void {
    for (const exchange of this.waiting.splice(0, count)) end(exchange)
  }

  /** Refuses those that wait, and all that come. */
  close(error: ClientError.ClientError): void {
    const cause = Cause.fail(error)
    this.closed = cause
    this.deadline.clear()
    this.end(this.waiting.length, (next) => next.refuse(cause))
  }

  // Nothing is read for a request that waits.
  starved(): void {}

  /** Nobody wants a request any more that waits. */
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

/** One connection is all there is. */
const noSupply: Supply = {
  left: () => 0,
  wanted: () => {},
  unwanted: () => {},
  connecting: () => 0,
  isOpen: () => true
}
