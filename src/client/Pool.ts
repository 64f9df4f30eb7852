/** The connections of a pool: made for waiting requests, replaced, and closed when idle. */
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
  /** The owner of all connections. */
  readonly scope: Scope.Scope
  /** Runs effects in that scope. */
  readonly spawner: Spawner.Spawner
}

/** Makes connections for waiting requests, and closes idle ones. */
export class Pool implements Supply, ClientConnection.Owner {
  readonly requests: Requests
  private readonly dependencies: Dependencies
  private readonly connections = new Map<ClientConnection.ClientConnection, Use>()
  /** The number of connections that are being closed. */
  private closing = 0
  private readonly stalls: Stalls<ClientConnection.ClientConnection>
  private readonly dials = new Set<Dial>()
  private readonly backoff: Backoff.Backoff
  /** Ends a request with the failure of the last connection attempt. */
  private lastFailure: ((next: Exchange) => void) | undefined
  /** The time since which there has been no open connection. */
  private aloneSince = Number.NEGATIVE_INFINITY
  /**
   * The time to look for connections for waiting requests again: after a failure, or when a response may have
   * stalled.
   */
  private readonly reconnect: Timers.Deadline
  /** The time at which the longest waiting request has waited for as long as connecting may take. */
  private readonly connectDeadline: Timers.Deadline
  /** The time at which the connection that has been free for longest reaches `idleTimeout`. */
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

  /** Takes no more requests. */
  readonly close: Effect.Effect<void> = Effect.sync(() => {
    for (const deadline of [this.reconnect, this.connectDeadline, this.idleDeadline]) deadline.clear()
    this.requests.close(ClientFailure.closed(this.dependencies.options.server))
  })

  left(): number {
    return Math.max(0, this.room + this.closing)
  }

  /**
   * The number of connections that may be made now. If negative, that many connections are open in excess.
   */
  private get room(): number {
    const { connections, dependencies, stalls } = this
    // Only when it matters, so that fast readers cost nothing.
    if (connections.size >= dependencies.maxConnections + stalls.size) stalls.look(dependencies.timers.now())
    return dependencies.maxConnections + stalls.size - connections.size
  }

  /** Whether there are no connections whose requests could end. */
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

  /** Ends stalled responses for waiting requests. Returns the time of the next check. */
  private relieve(): number {
    const waiting = this.requests.wanting - this.dials.size
    return waiting > 0 ? this.stalls.evict(this.dependencies.timers.now(), waiting) : Timers.never
  }

  /** The server is known to answer: connects for waiting requests at once. */
  reachable(): void {
    this.backoff.succeeded()
    this.wanted()
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
        // Not on the stack of the waiting request.
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
      // The connection opened before its interruption took effect.
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
   * A connection attempt has failed: fails one request, or all without other connections and attempts.
   * Requests that may wait until the server is ready continue to wait.
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
    // After failed attempts, the reason of the last one is more useful than the timeout.
    const hasTried = this.dependencies.waitForReadyMillis > options.connectTimeoutMillis
    const end = (hasTried && this.lastFailure) || ((next: Exchange) => next.refuse(timedOut))
    // These attempts would have failed a moment later.
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
    // Otherwise a server that ends new connections would be retried without end.
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
      // Only now may another connection replace it.
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

  /** Closes connections that have been free for too long, and sets the time of the next check. */
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
