/**
 * Notices that the server has been silent for longer than is tolerated, while something is awaited from it.
 *
 * One sleeping fiber serves all waits of its time, so that a wait costs no timer.
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

export interface Options {
  readonly clock: Clock.Clock
  readonly toleranceMillis: number
  /** Whether something is awaited. It may stop being so at any time, and `expect` says when it begins. */
  readonly isAwaited: () => boolean
  readonly onSilence: () => void
  readonly fork: (effect: Effect.Effect<void>) => void
}

export class Silence {
  private readonly options: Options
  private brokenAt: number
  private watched = false

  constructor(options: Options) {
    this.options = options
    this.brokenAt = options.clock.currentTimeMillisUnsafe()
  }

  /** Something was received: any byte will do. */
  break(): void {
    this.brokenAt = this.options.clock.currentTimeMillisUnsafe()
  }

  /** From now on something is awaited. */
  expect(): void {
    this.break()
    if (this.watched || this.options.toleranceMillis === Number.POSITIVE_INFINITY) return
    this.watched = true
    this.options.fork(this.watch())
  }

  private left(): number {
    return this.brokenAt + this.options.toleranceMillis - this.options.clock.currentTimeMillisUnsafe()
  }

  private watch(): Effect.Effect<void> {
    const { isAwaited, onSilence } = this.options
    return Effect.gen({ self: this }, function* () {
      while (isAwaited()) {
        if (this.left() > 0) {
          yield* Effect.sleep(this.left())
          continue
        }
        // After a busy stretch timers run before the socket is read: what has arrived meanwhile counts.
        yield* Effect.yieldNow
        if (isAwaited() && this.left() <= 0) onSilence()
      }
      this.watched = false
    })
  }
}
