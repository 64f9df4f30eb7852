/**
 * The concurrency of queries: a query that was alone when it found no memory had all the available memory.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** How long the freed memory of an earlier query may not have been returned (`GiveBack`), in nanoseconds. */
const aftermath = 1_000_000_000n

export class Crowd {
  private present = 0
  private arrivals = 0

  /**
   * Registers a query until the scope closes. Returns a check whether all memory has been the
   * query's own so far.
   */
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
