/**
 * Timers of low precision, shared by all connections of a server or client: heartbeats, and deadlines that
 * are reset often and rarely reached.
 *
 * Ten thousand of them take one sleeping fiber and one timer of the runtime. All times are milliseconds of
 * the Clock's monotonic time, so that changes of the wall clock fire nothing.
 *
 * **Details**
 *
 * A timer fires at its time, or together with another one that is due up to a hundredth of its wait later,
 * and a second at most ({@link tolerance}). It never fires earlier, unless an `early` tolerance allows it.
 *
 * Peers do not time out because the thread was busy. A timer fires in a turn of the event loop in which
 * sockets have been polled since its time came, so that bytes which arrived meanwhile count. After a busy
 * stretch a {@link Deadline} leaves at least a quarter of its time, since one poll does not show all activity
 * of a peer: after a name lookup the connect still follows, and a long message is read in parts.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"

/**
 * The time of a timer that never fires.
 *
 * @category constants
 * @since 0.1.0
 */
export const never: number = Number.POSITIVE_INFINITY

/**
 * How much later than requested a timer with this wait may fire, in milliseconds.
 *
 * @category timing
 * @since 0.1.0
 */
export const tolerance = (waitMillis: number): number => Math.min(1000, Math.floor(waitMillis / 100))

/**
 * Elapsed milliseconds since an arbitrary moment in the past.
 *
 * @category timing
 * @since 0.1.0
 */
export const elapsed = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

/** Nothing is before or after `NaN`. */
const assertTime = (at: number): void => {
  if (Number.isNaN(at)) throw new RangeError("A timer fires at a time in milliseconds, not at NaN")
}

/** An object that is called at a time. Its members besides `fire` belong to the timers. */
interface Timer {
  /**
   * Called when the time has come. `due` is {@link Timers.now} when that was noticed, before sockets were
   * polled.
   */
  readonly fire: (due: number) => void
  /** The bucket of timers that fire together with this one, and its neighbours there. */
  bucket: Bucket | undefined
  before: Timer | undefined
  behind: Timer | undefined
}

/** Timers that fire together: a linked list, since a `Set` of one element takes 240 bytes. */
class Bucket {
  readonly at: number
  first: Timer | undefined
  private last: Timer | undefined

  constructor(at: number) {
    this.at = at
  }

  add(timer: Timer): void {
    timer.bucket = this
    timer.before = this.last
    if (this.last === undefined) this.first = timer
    else this.last.behind = timer
    this.last = timer
  }

  remove(timer: Timer): void {
    const { before, behind } = timer
    if (before === undefined) this.first = behind
    else before.behind = behind
    if (behind === undefined) this.last = before
    else behind.before = before
    timer.bucket = undefined
    timer.before = undefined
    timer.behind = undefined
  }
}

/**
 * Timers that share one sleeping fiber. The fiber runs {@link Timers.run}.
 *
 * @category models
 * @since 0.1.0
 */
export class Timers {
  private readonly clock: Clock.Clock
  /** Ordered, the earliest first. */
  private readonly buckets: Array<Bucket> = []
  /** The time at which the fiber wakes next. */
  private wakesAt = never
  private count = 0
  private readonly rearm = Latch.makeUnsafe(false)

  constructor(clock: Clock.Clock) {
    this.clock = clock
  }

  /** Milliseconds that only ever grow. */
  now(): number {
    return elapsed(this.clock)
  }

  /**
   * Waits until a time, in milliseconds of {@link now}, or up to `early` milliseconds less if other timers
   * fire then.
   */
  sleepUntil(at: number, early = 0): Effect.Effect<void> {
    return Effect.suspend(() => this.sleep().until(at, early))
  }

  /** The sleep of one fiber, for repeated use. */
  sleep(): Sleep {
    return new Sleep(this)
  }

  /** A deadline that is not set. `expired` is called each time it is reached. */
  deadline(expired: () => void): Deadline {
    return new Deadline(this, expired)
  }

  /** Interrupts the effect after this many milliseconds and runs `otherwise`. */
  within<A, E, R, A2, E2, R2>(
    effect: Effect.Effect<A, E, R>,
    millis: number,
    otherwise: () => Effect.Effect<A2, E2, R2>
  ): Effect.Effect<A | A2, E | E2, R | R2> {
    if (millis === never) return effect
    const over = Effect.callback<void>((resume) => {
      const deadline = this.deadline(() => resume(Effect.void))
      deadline.set(this.now() + millis)
      return Effect.sync(() => deadline.clear())
    })
    return Effect.raceFirst(effect, Effect.flatMap(over, otherwise))
  }

  /** The number of set timers. */
  get size(): number {
    return this.count
  }

  /**
   * Sets a timer to fire at this time, or up to `late` milliseconds later or `early` ones sooner, together
   * with others. Replaces an earlier setting.
   */
  schedule(timer: Timer, at: number, early = 0, late = tolerance(at - this.now())): void {
    assertTime(at)
    this.cancel(timer)
    if (at === never) return
    const bucket = this.bucket(at, early, late)
    bucket.add(timer)
    this.count++
    // Times after the fiber's next wake-up cost nothing.
    if (bucket.at < this.wakesAt) this.rearm.openUnsafe()
  }

  cancel(timer: Timer): void {
    const { bucket } = timer
    if (bucket === undefined) return
    bucket.remove(timer)
    this.count--
    if (bucket.first !== undefined) return
    const at = this.firstFrom(bucket.at)
    if (this.buckets[at] === bucket) this.buckets.splice(at, 1)
  }

  /** The index of the first bucket at or after the time. */
  private firstFrom(at: number): number {
    let low = 0
    let high = this.buckets.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.buckets[middle] as Bucket).at < at) low = middle + 1
      else high = middle
    }
    return low
  }

  /** An existing bucket within the tolerances, or a new one for this time. */
  private bucket(at: number, early: number, late: number): Bucket {
    const { buckets } = this
    const index = this.firstFrom(at)
    const before = buckets[index - 1]
    if (before !== undefined && before.at >= at - early) return before
    const next = buckets[index]
    if (next !== undefined && next.at <= at + late) return next
    const bucket = new Bucket(at)
    buckets.splice(index, 0, bucket)
    return bucket
  }

  /** Fires timers at their times. */
  readonly run: Effect.Effect<never> = Effect.suspend(() => {
    const next = this.buckets[0]?.at ?? never
    this.wakesAt = next
    this.rearm.closeUnsafe()
    const now = this.now()
    const wait = Math.ceil(next - now)
    return wait > 0
      ? Effect.andThen(
          wait === never ? this.rearm.await : Effect.raceFirst(Effect.sleep(wait), this.rearm.await),
          this.run
        )
      : // Timers of the runtime run before sockets are polled. Those whose time comes until this goes on wait for
        // another poll.
        Effect.andThen(Effect.yieldNow, Effect.andThen(this.fire(now), this.run))
  })

  private fire(due: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      const defects: Array<unknown> = []
      // Timers that are set meanwhile are examined after this.
      this.wakesAt = Number.NEGATIVE_INFINITY
      while ((this.buckets[0]?.at ?? never) <= due) {
        const bucket = this.buckets.shift()
        for (let timer = bucket?.first; timer !== undefined; timer = bucket?.first) {
          this.cancel(timer)
          try {
            timer.fire(due)
          } catch (defect) {
            defects.push(defect)
          }
        }
      }
      return Effect.forEach(defects, (defect) => Effect.logError("A timer failed", Cause.die(defect)), {
        discard: true
      })
    })
  }
}

/**
 * The sleep of one fiber: repeated sleeps allocate no more than the wait itself.
 *
 * @category models
 * @since 0.1.0
 */
export class Sleep implements Timer {
  bucket: Bucket | undefined
  before: Timer | undefined
  behind: Timer | undefined
  private readonly timers: Timers
  private at = never
  private early = 0
  private resume: ((effect: Effect.Effect<void>) => void) | undefined

  constructor(timers: Timers) {
    this.timers = timers
  }

  /** Waits until a time, as {@link Timers.sleepUntil} does. One fiber waits at a time. */
  until(at: number, early = 0): Effect.Effect<void> {
    this.at = at
    this.early = early
    return this.wait
  }

  private readonly wait: Effect.Effect<void> = Effect.callback((resume) => {
    this.resume = resume
    this.timers.schedule(this, this.at, this.early)
    return this.wake
  })

  private readonly wake: Effect.Effect<void> = Effect.sync(() => this.timers.cancel(this))

  fire(): void {
    const { resume } = this
    this.resume = undefined
    resume?.(Effect.void)
  }
}

/** The number of checks of a deadline before it is reached, which detect how long the thread was busy. */
const looks = 4

/**
 * A deadline that may never be reached and is postponed again and again: postponing costs nothing.
 *
 * **Details**
 *
 * A deadline is checked three times before its time. If the thread is late for such a check, or for the end,
 * because it was busy or stopped, the deadline is extended by another quarter of its time. That happens once
 * at most.
 *
 * @category models
 * @since 0.1.0
 */
export class Deadline implements Timer {
  bucket: Bucket | undefined
  before: Timer | undefined
  behind: Timer | undefined
  private readonly timers: Timers
  private readonly expired: () => void
  private at = never
  /** The time of the next check, and the interval since the last one. */
  private lookAt = never
  private step = 0
  private wasLate = false

  constructor(timers: Timers, expired: () => void) {
    this.timers = timers
    this.expired = expired
  }

  /** Sets the time, in milliseconds of the timers' `now`; {@link never} clears it. */
  set(at: number): void {
    assertTime(at)
    this.at = at
    this.wasLate = false
    if (at < (this.bucket?.at ?? never)) this.look(0)
  }

  /** Clears the time, and removes the deadline from the timers. */
  clear(): void {
    this.at = never
    this.timers.cancel(this)
  }

  /** Checks again in at least `step` milliseconds, unless the deadline comes first. */
  private look(step: number): void {
    const now = this.timers.now()
    this.step = Math.max(step, Math.ceil((this.at - now) / looks))
    const isOnItsWay = this.at - now > 1.5 * this.step
    this.lookAt = isOnItsWay ? now + this.step : this.at
    const late = tolerance(this.step * looks)
    // A check before the end may be early: those of connections that open one after the other share one
    // timer.
    this.timers.schedule(this, this.lookAt, isOnItsWay ? late : 0, late)
  }

  fire(due: number): void {
    // The usual lateness of timers, and their tolerance, do not count.
    if (due - this.lookAt > this.step / looks && !this.wasLate) {
      this.wasLate = true
      this.at = Math.max(this.at, due + this.step)
    }
    if (this.at > due) {
      if (this.at !== never) this.look(this.step)
      return
    }
    this.at = never
    this.expired()
  }
}

/**
 * Timers whose fiber lives in the scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Timers, never, Scope.Scope> = Effect.gen(function* () {
  const timers = new Timers(yield* Clock.Clock)
  yield* Effect.forkScoped(timers.run)
  return timers
})

/**
 * The timers that connections share: a server provides its own.
 *
 * @category services
 * @since 0.1.0
 */
export const Shared: Context.Reference<Timers | undefined> = Context.Reference("dataconn/loop/Timers", {
  defaultValue: (): Timers | undefined => undefined
})

/**
 * The shared timers, or else new ones of the scope.
 *
 * @category services
 * @since 0.1.0
 */
export const use: Effect.Effect<Timers, never, Scope.Scope> = Effect.flatMap(Shared, (shared) =>
  shared === undefined ? make : Effect.succeed(shared)
)
