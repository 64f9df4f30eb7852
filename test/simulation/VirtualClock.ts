/**
 * A clock that stands still while anything can run, and then goes to the next moment that something waits for.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

interface Timer {
  readonly at: number
  readonly run: () => void
}

export class VirtualClock implements Clock.Clock {
  private now = 0
  private readonly timers: Array<Timer> = []
  private readonly schedule: (run: () => void) => void

  /** `schedule` takes what is to run now, in an order of its own. */
  constructor(schedule: (run: () => void) => void) {
    this.schedule = schedule
  }

  currentTimeMillisUnsafe(): number {
    return this.now
  }

  currentTimeNanosUnsafe(): bigint {
    return BigInt(Math.round(this.now * 1e6))
  }

  monotonicTimeNanosUnsafe(): bigint {
    return this.currentTimeNanosUnsafe()
  }

  readonly currentTimeMillis = Effect.sync(() => this.currentTimeMillisUnsafe())
  readonly currentTimeNanos = Effect.sync(() => this.currentTimeNanosUnsafe())
  readonly monotonicTimeNanos = this.currentTimeNanos

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      const cancel = this.after(Duration.toMillis(duration), () => resume(Effect.void))
      return Effect.sync(cancel)
    })
  }

  /** Runs something when so many milliseconds have passed; what is returned takes it back. */
  after(millis: number, run: () => void): () => void {
    let cancelled = false
    const timer = { at: this.now + Math.max(0, millis), run: () => (cancelled ? undefined : run()) }
    if (timer.at === Number.POSITIVE_INFINITY) return () => undefined
    const later = this.timers.findIndex((other) => other.at > timer.at)
    this.timers.splice(later < 0 ? this.timers.length : later, 0, timer)
    return () => {
      cancelled = true
      const at = this.timers.indexOf(timer)
      if (at >= 0) this.timers.splice(at, 1)
    }
  }

  /** Goes to the next moment that something waits for, or says that nothing does. */
  advance(): boolean {
    const next = this.timers[0]
    if (next === undefined) return false
    this.now = next.at
    while (this.timers[0] !== undefined && this.timers[0].at <= this.now) {
      const timer = this.timers.shift() as Timer
      this.schedule(timer.run)
    }
    return true
  }
}
