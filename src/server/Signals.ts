/**
 * What the second SIGINT or SIGTERM does to a program. The first interrupts it; that is done where the program is run.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

const signals = ["SIGINT", "SIGTERM"] as const

/** Runs the effect at the second signal, for as long as the scope is open. A third ends the process. */
export const onSecond = Effect.fnUntraced(function* (
  effect: Effect.Effect<void>
): Effect.fn.Return<void, never, Scope.Scope> {
  const context = yield* Effect.context<never>()
  let count = 0
  const onSignal = () => {
    count++
    if (count === 2) Effect.runForkWith(context)(effect)
    // An exit would wait for the engine's native calls, which may be what it is stuck in.
    if (count === 3) process.kill(process.pid, "SIGKILL")
  }
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      for (const signal of signals) process.on(signal, onSignal)
    }),
    () =>
      Effect.sync(() => {
        for (const signal of signals) process.off(signal, onSignal)
      })
  )
})
