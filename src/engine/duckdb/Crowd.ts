/**
 * Which queries run beside others: one that was alone when it found no memory has had all that there is.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** For so long what an earlier query has freed may not have been given back (`GiveBack`), in nanoseconds. */
const aftermath = 1_000_000_000n

export class Crowd {
  private present = 0
  private arrivals = 0

  /** A query comes, and leaves with the scope. Gives whether all the memory has been its own until now. */
  readonly enter: Effect.Effect<() => boolean, never, Scope.Scope> = Effect.gen({ self: this }, function* () {
    const clock = yield* Clock.Clock
    const since = clock.monotonicTimeNanosUnsafe()
    const nth = yield* Effect.acquireRelease(
      Effect.sync(() => {
        this.present++
        return ++this.arrivals
      }),
      () => Effect.sync(() => void this.present--)
    )
    const wasAlone = this.present === 1
    return () => wasAlone && this.arrivals === nth && clock.monotonicTimeNanosUnsafe() - since >= aftermath
  })
}
