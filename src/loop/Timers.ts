/**
 * Timers of low precision, shared by all connections of a server or client: heartbeats, and deadlines that are set
 * anew all the time and rarely reached.
 *
 * Ten thousand of them are one sleeping fiber and one timer of the runtime. All times are milliseconds of the Clock's
 * monotonic time, so that a wall clock that is set fires nothing.
 *
 * **Details**
 *
 * A timer fires at its time, or together with another one that is due up to a hundredth of its wait later, and a second
 * at most ({@link tolerance}). It never fires earlier, unless it says by how much it may. It fires in a turn of the event loop in which sockets have been
 * polled since its time came: after a busy stretch, bytes that arrived meanwhile count.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"

/**
 * Never.
 *
 * @category constants
 * @since 0.1.0
 */
export const never: number = Number.POSITIVE_INFINITY

/**
 * How much later than asked for a timer that waits for this long may fire, in milliseconds.
 *
 * @category timing
 * @since 0.1.0
 */
export const tolerance = (waitMillis: number): number => Math.min(1000, Math.floor(waitMillis / 100))

/**
 * Elapsed milliseconds since some moment in the past.
 *
 * @category timing
 * @since 0.1.0
 */
export const elapsed = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

/** Nothing is before or after `NaN`. */
const assertTime = (at: number): void => {
  if (Number.isNaN(at)) throw new RangeError("A timer fires at a time in milliseconds, not at NaN")
}

/** Something that is called at a time. */
interface Timer {
  readonly fire: (now: number) => void
  /** The others that fire together with it. Belongs to the timers. */
  bucket: Bucket | undefined
}

/** Timers that fire together. */
interface Bucket {
  readonly at: number
  readonly timers: Set<Timer>
}

/**
 * Timers that share one sleeping fiber. The fiber runs {@link Timers.run}.
 *
 * @category models
 * @since 0.1.0
 */
export class Timers {
  private readonly clock: Clock.Clock
  /** The soonest first. */
  private readonly buckets: Array<Bucket> = []
  /** When the fiber looks next. */
  private wakesAt = never
  private readonly rearm = Latch.makeUnsafe(false)

  constructor(clock: Clock.Clock) {
    this.clock = clock
  }

  /** Milliseconds that only ever grow. */
  now(): number {
    return elapsed(this.clock)
  }

  /** Waits until a time, in milliseconds of {@link now}, or up to `early` milliseconds less if others fire then. */
  sleepUntil(at: number, early = 0): Effect.Effect<void> {
    return Effect.callback((resume) => {
      const timer: Timer = { fire: () => resume(Effect.void), bucket: undefined }
      this.schedule(timer, at, early)
      return Effect.sync(() => this.cancel(timer))
    })
  }

  /** A deadline that is not set. `expired` is called each time it is reached. */
  deadline(expired: () => void): Deadline {
    return new Deadline(this, expired)
  }

  /** Sets when a timer fires, at this time or a little later; an earlier setting no longer holds. */
  schedule(timer: Timer, at: number, early = 0): void {
    assertTime(at)
    this.cancel(timer)
    if (at === never) return
    const bucket = this.bucket(at, early)
    bucket.timers.add(timer)
    timer.bucket = bucket
    // Times behind the fiber's next look cost nothing.
    if (bucket.at < this.wakesAt) this.rearm.openUnsafe()
  }

  cancel(timer: Timer): void {
    const { bucket } = timer
    if (bucket === undefined) return
    timer.bucket = undefined
    bucket.timers.delete(timer)
    if (bucket.timers.size > 0) return
    const at = this.firstFrom(bucket.at)
    if (this.buckets[at] === bucket) this.buckets.splice(at, 1)
  }

  /** The index of the first bucket that is not before the time. */
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

  /** A bucket that is near enough to the time, or one of this time. */
  private bucket(at: number, early: number): Bucket {
    const { buckets } = this
    const index = this.firstFrom(at)
    const before = buckets[index - 1]
    if (before !== undefined && before.at >= at - early) return before
    const next = buckets[index]
    if (next !== undefined && next.at <= at + tolerance(at - this.now())) return next
    const bucket: Bucket = { at, timers: new Set() }
    buckets.splice(index, 0, bucket)
    return bucket
  }

  /** Fires timers at their times. */
  readonly run: Effect.Effect<never> = Effect.suspend(() => {
    const next = this.buckets[0]?.at ?? never
    this.wakesAt = next
    this.rearm.closeUnsafe()
    const wait = Math.ceil(next - this.now())
    return wait > 0
      ? Effect.andThen(
          wait === never ? this.rearm.await : Effect.raceFirst(Effect.sleep(wait), this.rearm.await),
          this.run
        )
      : // Timers of the runtime run before sockets are polled.
        Effect.andThen(Effect.yieldNow, Effect.andThen(this.fire, this.run))
  })

  private readonly fire: Effect.Effect<void> = Effect.suspend(() => {
    const now = this.now()
    const defects: Array<unknown> = []
    // Timers that are set meanwhile are looked at after this.
    this.wakesAt = Number.NEGATIVE_INFINITY
    while ((this.buckets[0]?.at ?? never) <= now) {
      for (const timer of this.buckets.shift()?.timers ?? []) {
        timer.bucket = undefined
        try {
          timer.fire(now)
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

/**
 * A time that may not be reached, and that is put off again and again: a later time than the one that is set costs
 * nothing.
 *
 * @category models
 * @since 0.1.0
 */
export class Deadline implements Timer {
  bucket: Bucket | undefined
  private readonly timers: Timers
  private readonly expired: () => void
  private at = never

  constructor(timers: Timers, expired: () => void) {
    this.timers = timers
    this.expired = expired
  }

  /** Sets the time, in milliseconds of the timers' `now`; {@link never} clears it. */
  set(at: number): void {
    assertTime(at)
    this.at = at
    if (at < (this.bucket?.at ?? never)) this.timers.schedule(this, at)
  }

  /** Sets no time, and lets the timers forget it. */
  clear(): void {
    this.at = never
    this.timers.cancel(this)
  }

  readonly fire = (now: number): void => {
    if (this.at > now) {
      this.timers.schedule(this, this.at)
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
 * The shared timers, or some of the scope's own.
 *
 * @category services
 * @since 0.1.0
 */
export const use: Effect.Effect<Timers, never, Scope.Scope> = Effect.flatMap(Shared, (shared) =>
  shared === undefined ? make : Effect.succeed(shared)
)
