/**
 * The processes of an engine, and the queries that wait for one.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type * as ClientPool from "../client/ClientPool.ts"
import * as QueryApi from "../engine/QueryApi.ts"
import * as Spawner from "../loop/Spawner.ts"
import * as Timers from "../loop/Timers.ts"
import type * as Launcher from "./Launcher.ts"
import type * as Lifecycle from "./Lifecycle.ts"
import * as Loss from "./Loss.ts"
import * as Placement from "./Placement.ts"
import * as Slot from "./Slot.ts"

export interface Options {
  readonly launch: Launcher.Launch
  /** How many processes there are. */
  readonly processes: number
  readonly lifecycle: Lifecycle.Options
  readonly placement: Placement.Options
  readonly client: Partial<ClientPool.PoolSettings>
  /** How often signs of life are looked for, in milliseconds. */
  readonly tickMillis: number
  /** How long a query may wait for a process, in milliseconds. */
  readonly waitMillis: number
  /** How many queries may wait. */
  readonly maxWaiting: number
  /** How long after the first process the others are started, in milliseconds. */
  readonly spareMillis: number
  /** How long processes may take to end by themselves, in milliseconds. */
  readonly endMillis: number
}

/** The first process could not be started. */
export interface Unstartable {
  readonly _tag: "Unstartable"
  readonly message: string
}

/** A query that waits, and the callback for its result. */
interface Waiting {
  readonly query: Slot.Query
  readonly resume: (result: Effect.Effect<Slot.Incarnation, QueryApi.QueryError>) => void
}

export class Supervisor {
  readonly now: () => number
  private readonly options: Options
  private readonly timers: Timers.Timers
  private readonly spawner: Spawner.Spawner
  private readonly slots: ReadonlyArray<Slot.Slot>
  /** Ordered, suspects before all others (see {@link Placement.precedes}). */
  private waiting: Array<Waiting> = []
  /** Completes when the first process is ready, or could not be started. */
  private readonly first = Deferred.makeUnsafe<void, Unstartable>()
  private hasStarted = false
  private hasStartedOthers = false
  /**
   * The error of waiting queries while processes fail to start, one after the other, and none
   * answers queries.
   */
  private unstartable: QueryApi.QueryError | undefined
  private isClosed = false
  private readonly tick: Timers.Deadline
  private readonly spares: Timers.Deadline

  constructor(options: Options, timers: Timers.Timers, spawner: Spawner.Spawner, scope: Scope.Scope) {
    this.options = options
    this.timers = timers
    this.spawner = spawner
    this.now = () => timers.now()
    this.tick = timers.deadline(() => this.look())
    this.spares = timers.deadline(() => this.startOthers())
    const dependencies: Slot.Dependencies = {
      ...options,
      timers,
      spawner,
      scope,
      changed: () => this.changed(),
      lost: (loss, delayMillis, wasReady) => this.lost(loss, delayMillis, wasReady),
      notes: [],
      logged: (name, { level, message }) => spawner.spawn(Effect.logWithLevel(level)(`${name}: ${message}`))
    }
    this.slots = Array.from({ length: options.processes }, (_, i) => new Slot.Slot(i + 1, dependencies))
  }

  /** Waits until the first process is ready; the others are started then. */
  readonly start: Effect.Effect<void, Unstartable> = Effect.suspend(() => {
    this.slots[0]?.dispatch({ _tag: "Start" })
    this.rearm()
    return Deferred.await(this.first)
  })

  /** Asks all processes to end, and kills those that do not. */
  readonly stop: Effect.Effect<void> = Effect.suspend(() => {
    const all = (event: Lifecycle.Event) => {
      for (const slot of this.slots) slot.dispatch(event)
    }
    const over = Effect.forEach(this.slots, (slot) => Deferred.await(slot.over), { discard: true })
    this.isClosed = true
    this.tick.clear()
    this.spares.clear()
    for (const { resume } of this.waiting.splice(0)) resume(Effect.fail(closed))
    all({ _tag: "Close" })
    const ended = Effect.timeoutOrElse(over, {
      duration: this.options.endMillis,
      orElse: () => {
        all({ _tag: "CloseExpired" })
        return over
      }
    })
    return Effect.andThen(ended, this.settled)
  })

  /** Waits for all spawned work, such as the last lines of the log. */
  private readonly settled: Effect.Effect<void> = Effect.callback((resume) =>
    this.spawner.spawn(Effect.sync(() => resume(Effect.void)))
  )

  private changed(): void {
    if (!this.hasStarted) {
      this.hasStarted = true
      Deferred.doneUnsafe(this.first, Exit.void)
      this.spares.set(this.now() + this.options.spareMillis)
    }
    this.unstartable = undefined
    this.place()
  }

  /** Once only: after that each place decides itself when to start its next process. */
  private startOthers(): void {
    if (this.hasStartedOthers) return
    this.hasStartedOthers = true
    this.spares.clear()
    for (const slot of this.slots.slice(1)) slot.dispatch({ _tag: "Start" })
  }

  private lost(loss: Loss.Loss, delayMillis: number, wasReady: boolean): void {
    if (!this.hasStarted) {
      const message = loss.why?._tag === "Failed" ? loss.why.message : Loss.describe(loss)
      Deferred.doneUnsafe(this.first, Exit.fail({ _tag: "Unstartable", message }))
      return
    }
    this.startOthers()
    const again = delayMillis === 0 ? "is started again" : `is started again in ${delayMillis} ms`
    this.spawner.spawn(Effect.logError(`${Loss.describe(loss)}; ${again}`))
    // The first failure may be temporary.
    if (wasReady || loss.why?._tag !== "Failed" || delayMillis === 0) return
    if (this.slots.some(({ isReady }) => isReady)) return
    const { isTold, message } = loss.why
    const error = unstartable(isTold ? message : "the server's log says why")
    this.unstartable = error
    for (const { resume } of this.waiting.splice(0)) resume(Effect.fail(error))
  }

  private rearm(): void {
    this.tick.set(this.now() + this.options.tickMillis)
  }

  private look(): void {
    for (const slot of this.slots) slot.dispatch({ _tag: "Tick", isIdle: slot.running.size === 0 })
    // Suspects may have been alone for long enough.
    this.place()
    this.rearm()
  }

  /** Waits for a process to run the query in. The query holds its place until {@link leave}. */
  enter(query: Slot.Query): Effect.Effect<Slot.Incarnation, QueryApi.QueryError> {
    return Effect.callback((resume) => {
      const { maxWaiting, waitMillis } = this.options
      const deadline = this.timers.deadline(() => refuse(waitedTooLong))
      const waiting: Waiting = {
        query,
        resume: (result) => {
          deadline.clear()
          resume(result)
        }
      }
      const refuse = (error: QueryApi.QueryError) => {
        this.forget(waiting)
        waiting.resume(Effect.fail(error))
      }
      this.queue(waiting)
      // All suspects of a process are notified of its end in one turn. The one to try first is known
      // only after that.
      if (query.isSuspect) this.spawner.spawn(this.placeLater)
      else this.place()
      if (query.incarnation !== undefined) return
      if (this.isClosed) return refuse(closed)
      if (this.unstartable !== undefined) return refuse(this.unstartable)
      if (this.waiting.length > maxWaiting) return refuse(tooMany(maxWaiting))
      deadline.set(this.now() + waitMillis)
      return Effect.sync(() => {
        deadline.clear()
        this.forget(waiting)
      })
    })
  }

  /** Gives the query's place to waiting queries. */
  leave(query: Slot.Query): void {
    query.incarnation?.running.delete(query)
    query.incarnation = undefined
    this.place()
  }

  private queue(waiting: Waiting): void {
    const at = this.waiting.findIndex(({ query }) => Placement.precedes(waiting.query, query))
    if (at < 0) this.waiting.push(waiting)
    else this.waiting.splice(at, 0, waiting)
  }

  private forget(waiting: Waiting): void {
    this.waiting = this.waiting.filter((other) => other !== waiting)
  }

  private readonly placeLater = Effect.sync(() => this.place())

  /** Gives processes to waiting queries, in their order, as far as there are any. */
  private place(): void {
    if (this.waiting.length === 0) return
    const now = this.now()
    const { placement } = this.options
    const left: Array<Waiting> = []
    const placed: Array<readonly [Waiting, Slot.Incarnation]> = []
    let keep: number | undefined
    let isFull = false
    for (const waiting of this.waiting) {
      const { query } = waiting
      const at = isFull ? undefined : Placement.choose(this.slots, query, now, placement, keep)
      const incarnation = at === undefined ? undefined : this.slots[at]?.incarnation
      if (incarnation === undefined) {
        left.push(waiting)
        if (query.isSuspect) keep ??= Placement.reserved(this.slots, now, placement)
        else isFull = true
        continue
      }
      query.startedAt = now
      query.incarnation = incarnation
      incarnation.running.add(query)
      placed.push([waiting, incarnation])
    }
    this.waiting = left
    // Resumed fibers run on this stack, and may re-enter this function.
    for (const [{ resume }, incarnation] of placed) resume(Effect.succeed(incarnation))
  }
}

const overloaded = (message: string): QueryApi.QueryError =>
  new QueryApi.QueryError({ code: "overloaded", message, retryable: true })

const waitedTooLong = overloaded("The query has waited for the engine for as long as it may")

const unstartable = (why: string): QueryApi.QueryError =>
  new QueryApi.QueryError({
    code: "engine_lost",
    message: `The engine cannot be started at the moment: ${why}`,
    retryable: true
  })

const closed = new QueryApi.QueryError({
  code: "shutting_down",
  message: "The engine has been closed",
  retryable: true
})

const tooMany = (maxWaiting: number): QueryApi.QueryError =>
  overloaded(`${maxWaiting} queries are waiting for the engine already`)

/** Supervises processes in the scope: closing it ends them all, and waits for their end. */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Supervisor, Unstartable, Scope.Scope> {
  // A scope of its own: a closing scope interrupts its fibers, but processes are supervised until they end.
  const scope = yield* Scope.make()
  const timers = yield* Scope.provide(Timers.use, scope)
  const spawner = yield* Scope.provide(Spawner.make, scope)
  const supervisor = new Supervisor(options, timers, spawner, scope)
  yield* Effect.addFinalizer(() => Effect.andThen(supervisor.stop, Scope.close(scope, Exit.void)))
  yield* supervisor.start
  return supervisor
})
