/**
 * When to connect again after a failure: later with each one, and not at the same time as others.
 */
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
  /** When to connect again. */
  until = Number.NEGATIVE_INFINITY

  constructor(options: Options) {
    this.options = options
  }

  /** Connecting has failed that began at a time. What began before the last failure says nothing new. */
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
