/** The time to reconnect after a failure: later with each failure, and randomized between clients. */
import type * as Random from "effect/Random"

export interface Options {
  readonly reconnectDelayMillis: number
  readonly maxReconnectDelayMillis: number
  readonly random: typeof Random.Random.Service
}

/** All times are milliseconds of the timers. */
export class Backoff {
  private readonly options: Options
  private failures = 0
  private failedAt = Number.NEGATIVE_INFINITY
  /** The time to reconnect. */
  until = Number.NEGATIVE_INFINITY

  constructor(options: Options) {
    this.options = options
  }

  /** Connecting failed, begun at `beganAt`. Attempts that began before the last failure do not count. */
  failed(beganAt: number, now: number): void {
    if (beganAt < this.failedAt) return
    const { maxReconnectDelayMillis, random, reconnectDelayMillis } = this.options
    const longest = Math.min(maxReconnectDelayMillis, reconnectDelayMillis * 2 ** this.failures)
    this.failures++
    this.failedAt = now
    this.until = now + longest * (1 - random.nextDoubleUnsafe() / 2)
  }

  /** The server has answered. */
  succeeded(): void {
    this.failures = 0
    this.until = Number.NEGATIVE_INFINITY
  }
}
