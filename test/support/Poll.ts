/**
 * Waits for what no event announces.
 */
import * as Effect from "effect/Effect"

/** Waits until the condition holds; dies if it does not within ten seconds. */
export const until = (what: string, condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() =>
    condition() ? Effect.void : Effect.andThen(Effect.sleep(5), until(what, condition))
  ).pipe(
    Effect.timeoutOrElse({
      duration: "10 seconds",
      orElse: () => Effect.die(new Error(`not within ten seconds: ${what}`))
    })
  )
