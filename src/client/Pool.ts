/**
 * The connections of a pool: made for the requests that wait, replaced, and closed where nobody uses them.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type * as Spawner from "../loop/Spawner.ts"
import * as Timers from "../loop/Timers.ts"
import type * as Transport from "../net/Transport.ts"
import type { Why } from "../protocol/ClientMachine.ts"
import * as Backoff from "./Backoff.ts"
import * as ClientConnection from "./ClientConnection.ts"
import * as ClientFailure from "./ClientFailure.ts"
import type { Exchange } from "./Exchange.ts"
import type { Dial, Made, Use } from "./PooledConnection.ts"
import type * as PoolOptions from "./PoolOptions.ts"
import { Requests, type Supply } from "./Requests.ts"
import { Stalls } from "./Stalls.ts"

export interface Dependencies extends PoolOptions.Options, Backoff.Options {
  readonly transport: Transport.Open
  readonly ended: (why: Why, left: number) => void
  readonly timers: Timers.Timers
  /** Owns all connections. */
  readonly scope: Scope.Scope
  /** Runs effects in that scope. */
  readonly spawner: Spawner.Spawner
}

/** Makes connections for the requests that wait, and closes those that nobody uses. */
export class Pool implements Supply, ClientConnection.Owner {
  readonly requests: Requests
  private readonly dependencies: Dependencies
  private readonly connections = new Map<ClientConnection.ClientConnection, Use>()
  /** How many of them are being closed. */
  private closing = 0
  private readonly stalls: Stalls<ClientConnection.ClientConnection>
  private readonly dials = new Set<Dial>()
  private readonly backoff: Backoff.Backoff
  /** Ends a request as the last try to connect did. */
  private lastFailure: ((next: Exchange) => void) | undefined
  /** Since when there has been no open connection. */
  private aloneSince = Number.NEGATIVE_INFINITY
  /** When requests that wait for a connection may be given one: after a failure, or for a response that has stalled. */
  private readonly reconnect: Timers.Deadline
  /** When the request that waits longest has waited for a connection for as long as connecting may take. */
  private readonly connectDeadline: Timers.Deadline
  /** When the connection that has been free for longest has been so for `idleTimeout`. */
  private readonly idleDeadline: Timers.Deadline

  constructor(dependencies: Dependencies) {
    const { options, timers } = dependencies
    this.dependencies = dependencies
    this.backoff = new Backoff.Backoff(dependencies)
    this.reconnect = timers.deadline(() => this.wanted())
    this.connectDeadline = timers.deadline(() => this.connectExpired())
    this.idleDeadline = timers.deadline(() => this.dropIdle())
    this.stalls = new Stalls(dependencies, () => this.connections.keys())
    this.requests = new Requests({ ...options, ...dependencies }, this)
  }

  /** Takes no request any more. */
  readonly close: Effect.Effect<void> = Effect.sync(() => {
    for (const deadline of [this.reconnect, this.connectDeadline, this.idleDeadline]) deadline.clear()
    this.requests.close(ClientFailure.closed(this.dependencies.options.server))
  })

  left(): number {
    return Math.max(0, this.room + this.closing)
  }

  /** How many connections may be made now. If negative, so many that are open are too many. */
  private get room(): number {
    const { connections, dependencies, stalls } = this
    // When it matters: readers that are fast cost nothing.
    if (connections.size >= dependencies.maxConnections + stalls.size) stalls.look(dependencies.timers.now())
    return dependencies.maxConnections + stalls.size - connections.size
  }

  /** Whether no request can hope for the end of another one. */
  private get isAlone(): boolean {
    return this.connections.size === this.closing
  }

  private get isBackingOff(): boolean {
    return this.dependencies.timers.now() < this.backoff.until
  }

  isOpen(): boolean {
    return !(this.isAlone && this.isBackingOff)
  }

  connecting(): number {
    return this.isAlone ? Number.POSITIVE_INFINITY : this.dials.size
  }

  wanted(): void {
    if (this.requests.wanting <= this.dials.size) return
    let again = Timers.never
    if (this.isBackingOff) {
      again = this.backoff.until
    } else {
      while (this.dials.size < this.requests.wanting && this.dials.size < this.room) this.connect()
    }
    this.reconnect.set(Math.min(again, this.relieve()))
    this.watchConnect()
  }

  /** Ends stalled responses for the requests that wait for others. When to look for more. */
  private relieve(): number {
    const waiting = this.requests.wanting - this.dials.size
    return waiting > 0 ? this.stalls.evict(this.dependencies.timers.now(), waiting) : Timers.never
  }

  unwanted(): void {
    for (const dial of [...this.dials].reverse()) {
      if (this.dials.size <= this.requests.wanting) return
      this.dials.delete(dial)
      dial.fiber?.interruptUnsafe()
    }
  }

  private connect(): void {
    const { options, scope, spawner, timers, transport } = this.dependencies
    const dial: Dial = { beganAt: timers.now(), fiber: undefined }
    this.dials.add(dial)
    const made = ClientConnection.make(transport, options, this).pipe(
      Effect.provideService(Timers.Shared, timers),
      Scope.provide(scope)
    )
    spawner.spawn(
      Effect.withFiber((fiber) => {
        if (!this.dials.has(dial)) return Effect.void
        dial.fiber = fiber
        // Not on the stack of the request that waits for it.
        return Effect.andThen(Effect.yieldNow, made).pipe(
          Effect.onExit((exit) => Effect.sync(() => this.connected(dial, exit))),
          Effect.exit,
          Effect.asVoid
        )
      })
    )
  }

  private connected(dial: Dial, exit: Made): void {
    const isWanted = this.dials.delete(dial)
    if (Exit.isFailure(exit)) {
      if (isWanted) this.failed(dial.beganAt, (next) => next.refuse(exit.cause))
    } else if (isWanted) {
      this.take(exit.value, dial)
    } else {
      // It was there before the word that nobody wants it any more.
      this.dependencies.spawner.spawn(exit.value.close)
    }
  }

  private take(connection: ClientConnection.ClientConnection, { beganAt }: Dial): void {
    const use: Use = { isNew: true, beganAt, freeSince: 0, isClosing: false }
    this.connections.set(connection, use)
    if (connection.why === undefined) {
      this.offer(connection, use)
    } else {
      const { why } = connection
      this.drop(connection, use)
      this.failed(beganAt, (next) => this.refuse(next, why))
    }
  }

  /**
   * There is no connection for a request; nor for all others, if nothing else is left to hope for. Those that may wait
   * until the server is ready do.
   */
  private failed(beganAt: number, end: (next: Exchange) => void): void {
    const now = this.dependencies.timers.now()
    this.backoff.failed(beganAt, now)
    this.lastFailure = end
    const { dials, requests } = this
    const impatient = requests.countSince(now - this.dependencies.waitForReadyMillis)
    if (this.isAlone && dials.size === 0) requests.end(impatient, end)
    else if (requests.wanting > dials.size) requests.end(Math.min(1, impatient), end)
    this.wanted()
  }

  /** Whether a request may wait until the server is ready. */
  private isPatient({ startedAt }: Exchange): boolean {
    return startedAt + this.dependencies.waitForReadyMillis > this.dependencies.timers.now()
  }

  private watchConnect(): void {
    const since = this.requests.longestSince
    if (since === undefined || !this.isAlone || !(this.dials.size > 0 || this.isBackingOff)) return
    this.connectDeadline.set(this.connectLimit(since))
  }

  private connectLimit(since: number): number {
    const { options, waitForReadyMillis } = this.dependencies
    return Math.max(
      Math.max(since, this.aloneSince) + options.connectTimeoutMillis,
      since + waitForReadyMillis
    )
  }

  private connectExpired(): void {
    if (!this.isAlone) return
    const { options, timers } = this.dependencies
    const now = timers.now()
    const timedOut = Cause.fail(ClientFailure.connectTimedOut(options))
    // Where tries have failed before, the reason of the last one says more than that time is over.
    const hasTried = this.dependencies.waitForReadyMillis > options.connectTimeoutMillis
    const end = (hasTried && this.lastFailure) || ((next: Exchange) => next.refuse(timedOut))
    // It would have failed a moment later.
    for (const { beganAt } of this.dials) {
      if (beganAt < now - options.connectTimeoutMillis / 2) this.backoff.failed(beganAt, now)
    }
    for (;;) {
      const since = this.requests.longestSince
      if (since === undefined || this.connectLimit(since) > now) break
      this.requests.end(1, end)
    }
    this.unwanted()
    this.watchConnect()
  }

  freed(connection: ClientConnection.ClientConnection): void {
    const use = this.connections.get(connection)
    if (use === undefined) return
    use.isNew = false
    this.backoff.succeeded()
    if (this.stalls.ended(connection) && this.room + this.closing < 0) this.drop(connection, use)
    else this.offer(connection, use)
  }

  private offer(connection: ClientConnection.ClientConnection, use: Use): void {
    if (!this.requests.offer(connection)) return
    use.isNew = false
    use.freeSince = this.dependencies.timers.now()
    if (this.requests.longestFree === connection) this.watchIdle(use)
  }

  ended(connection: ClientConnection.ClientConnection, why: Why, unsent: Exchange | undefined): void {
    const use = this.connections.get(connection)
    const isOpen = use !== undefined && !use.isClosing
    this.dependencies.ended(why, this.connections.size - this.closing - (isOpen ? 1 : 0))
    if (use === undefined) return
    const isAgain = unsent !== undefined && (!use.isNew || this.isPatient(unsent))
    // A server that ends new connections would be tried without end.
    if (use.isNew && (isAgain || !connection.hasRead)) {
      this.backoff.failed(use.beganAt, this.dependencies.timers.now())
    }
    if (isAgain) this.requests.again(unsent)
    else if (unsent !== undefined) this.refuse(unsent, why)
    this.drop(connection, use)
  }

  private drop(connection: ClientConnection.ClientConnection, use: Use): void {
    if (use.isClosing) return
    use.isClosing = true
    this.closing++
    if (this.isAlone) this.aloneSince = this.dependencies.timers.now()
    this.requests.withdraw(connection)
    this.stalls.ended(connection)
    const closed = Effect.sync(() => {
      // Only now another connection may be made.
      if (this.isAlone && this.room <= 0) this.aloneSince = this.dependencies.timers.now()
      this.connections.delete(connection)
      this.closing--
      this.wanted()
    })
    this.dependencies.spawner.spawn(Effect.andThen(connection.close, closed))
  }

  private watchIdle(use: Use): void {
    this.idleDeadline.set(use.freeSince + this.dependencies.idleTimeoutMillis)
  }

  /** Closes connections that have been free for too long, and looks again when the next one may have been. */
  private dropIdle(): void {
    const { idleTimeoutMillis, timers } = this.dependencies
    for (;;) {
      const connection = this.requests.longestFree
      const use = connection && this.connections.get(connection)
      if (connection === undefined || use === undefined) return
      if (use.freeSince + idleTimeoutMillis > timers.now()) {
        this.watchIdle(use)
        return
      }
      this.drop(connection, use)
    }
  }

  private refuse(unsent: Exchange, why: Why): void {
    if (why._tag === "GoingAway") unsent.reject(why.payload)
    else unsent.refuse(Cause.fail(ClientFailure.beforeRequest(this.dependencies.options, why)))
  }
}
