/**
 * Commands that serve until they are interrupted.
 */
import * as Effect from "effect/Effect"

/** Marks a command that ends normally by interruption: its exit code is then 0. */
export const stopping = <A, E, R>(command: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.onInterrupt(command, () =>
    Effect.sync(() => {
      process.exitCode = 0
    })
  )
