/**
 * Waits for what no event announces.
 */
import * as Effect from "effect/Effect"

/** Waits until the condition holds; dies if it does not within twenty seconds. */
export const until = (what: string, condition: () => boolean): Effect.Effect<void> =>
  untilEffect(() => what, Effect.sync(condition), 5)

/** The same for a condition that takes an effect to look at. `what` is asked for at the end. */
export const untilEffect = (
  what: () => string,
  condition: Effect.Effect<boolean>,
  everyMillis = 50
): Effect.Effect<void> => {
  const loop: Effect.Effect<void> = Effect.flatMap(condition, (holds) =>
    holds ? Effect.void : Effect.andThen(Effect.sleep(everyMillis), loop)
  )
  return Effect.timeoutOrElse(loop, {
    duration: "20 seconds",
    orElse: () => Effect.die(new Error(`not within twenty seconds: ${what()}`))
  })
}
