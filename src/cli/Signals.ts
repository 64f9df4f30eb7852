/**
 * What signals do to a command. The first SIGINT or SIGTERM interrupts it; that is done where the command is run.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"

const signals = ["SIGINT", "SIGTERM"] as const

/** Marks a command for which being interrupted is the way to end: its exit code is then 0. */
export const stopping = <A, E, R>(command: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.onInterrupt(command, () =>
    Effect.sync(() => {
      process.exitCode = 0
    })
  )

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
  yield* handle(signals, onSignal)
})

/** Handles signals for as long as the scope is open. */
const handle = (
  signals: ReadonlyArray<NodeJS.Signals>,
  onSignal: () => void
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      for (const signal of signals) process.on(signal, onSignal)
    }),
    () =>
      Effect.sync(() => {
        for (const signal of signals) process.off(signal, onSignal)
      })
  )

/**
 * From now on SIGHUP does not end the process, for as long as the scope is open. Gives the effect that waits for one
 * that has not been waited for; several count as one.
 */
export const hangups: Effect.Effect<Effect.Effect<void>, never, Scope.Scope> = Effect.flatMap(
  Latch.make(false),
  (came) =>
    Effect.as(
      handle(["SIGHUP"], () => came.openUnsafe()),
      Effect.andThen(came.await, Effect.asVoid(came.close))
    )
)
