/**
 * Long computations in steps, between which the event loop turns.
 *
 * Such a computation is a generator that yields when it has done a few milliseconds of work. It counts its
 * work instead of reading a clock, so that its steps are always the same.
 */
import * as Effect from "effect/Effect"

/** A computation in steps that ends with an `A`. */
export type Steps<A> = Generator<undefined, A, void>

/** Runs the steps to their end. Interruption takes effect between two steps. */
export const run = <A>(steps: Steps<A>): Effect.Effect<A> =>
  Effect.suspend(() => {
    const step = steps.next()
    return step.done === true ? Effect.succeed(step.value) : Effect.andThen(Effect.yieldNow, run(steps))
  })

/** Like {@link run}, within a native call. */
export const runPromise = async <A>(steps: Steps<A>): Promise<A> => {
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done === true) return step.value
    await new Promise((resolve) => setImmediate(resolve))
  }
}
