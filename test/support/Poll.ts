/**
 * Waits for what no event announces.
 */
import * as Effect from "effect/Effect"

/** Waits until the condition holds; dies if it does not within twenty seconds. */
export const until = (what: string, condition: () => boolean): Effect.Effect<void> => {
  const loop: Effect.Effect<void> = Effect.suspend(() =>
    condition() ? Effect.void : Effect.andThen(Effect.sleep(5), loop)
  )
  return Effect.timeoutOrElse(loop, {
    duration: "20 seconds",
    orElse: () => Effect.die(new Error(`not within twenty seconds: ${what}`))
  })
}
