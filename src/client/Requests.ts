/**
 * The requests of a client, and the connections that are free for them: the request that waits longest is next.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type { QueryRejected } from "../engine/QueryEngine.ts"
import * as Limit from "../settings/Limit.ts"
import type { ClientConnection } from "./ClientConnection.ts"
import type * as ClientError from "./ClientError.ts"
import * as ClientFailure from "./ClientFailure.ts"
import { Exchange, type Line } from "./Exchange.ts"

/** Where more connections come from. */
export interface Supply {
  /** How many may still come. As many requests wait for them, and are not counted as queued. */
  readonly left: () => number
  /** A request waits. */
  readonly wanted: () => void
}

export interface Options {
  readonly server: string
  /** How many requests wait for the end of others. Those beyond fail. */
  readonly maxQueuedRequests: number
}

export class Requests implements Line {
  private readonly options: Options
  private readonly supply: Supply
  /** One of the two is empty. Those that were used last are the last of the free. */
  private readonly waiting: Array<Exchange> = []
  private readonly free: Array<ClientConnection> = []
  /** Why no request is taken any more. */
  private closed: Cause.Cause<ClientError.ClientError> | undefined

  constructor(options: Options, supply: Supply = noSupply) {
    Limit.count("maxQueuedRequests", options.maxQueuedRequests, 0)
    this.options = options
    this.supply = supply
  }

  get isOpen(): boolean {
    return this.closed === undefined
  }

  /** How many wait. */
  get size(): number {
    return this.waiting.length
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
    holdsFinal = false
  ): Effect.Effect<A, QueryRejected | ClientError.ClientError, Scope.Scope> {
    return Effect.flatMap(Effect.scope, (scope) => {
      const exchange = new Exchange(body, this, holdsFinal)
      const accepted = Effect.callback<A, QueryRejected | ClientError.ClientError>((resume) => {
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
    const { maxQueuedRequests, server } = this.options
    if (this.sends(exchange)) return
    if (this.waiting.length < maxQueuedRequests + this.supply.left()) {
      this.waiting.push(exchange)
      this.supply.wanted()
    } else {
      exchange.refuse(Cause.fail(ClientFailure.tooManyRequests(server, maxQueuedRequests)))
    }
  }

  /** A request that was not sent on a connection that has ended is the next on another one. */
  again(exchange: Exchange): void {
    exchange.line = this
    if (this.sends(exchange)) return
    this.waiting.unshift(exchange)
    this.supply.wanted()
  }

  /** Whether a request need not wait: it is sent, or refused. */
  private sends(exchange: Exchange): boolean {
    if (this.closed !== undefined) {
      exchange.refuse(this.closed)
      return true
    }
    const connection = this.free.pop()
    connection?.send(exchange)
    return connection !== undefined
  }

  /** A connection is free. Whether it stays so. */
  offer(connection: ClientConnection): boolean {
    const next = this.waiting.shift()
    if (next === undefined) this.free.push(connection)
    else connection.send(next)
    return next === undefined
  }

  /** A connection is not free any more. */
  withdraw(connection: ClientConnection): void {
    const at = this.free.indexOf(connection)
    if (at >= 0) this.free.splice(at, 1)
  }

  /** There is no connection for the request that waits longest. */
  refuseNext(cause: Cause.Cause<ClientError.ClientError>): void {
    this.waiting.shift()?.refuse(cause)
  }

  /** Refuses those that wait, and all that come. */
  close(error: ClientError.ClientError): void {
    this.closed = Cause.fail(error)
    for (const exchange of this.waiting.splice(0)) exchange.refuse(this.closed)
  }

  // Nothing is read for a request that waits.
  starved(): void {}

  /** Nobody wants a request any more that waits. */
  finish(exchange: Exchange): Effect.Effect<void> {
    const at = this.waiting.indexOf(exchange)
    if (at >= 0) this.waiting.splice(at, 1)
    exchange.end({ _tag: "Cancelled" })
    exchange.resume()
    return Effect.void
  }
}

const noSupply: Supply = { left: () => 0, wanted: () => {} }
