/**
 * The target of Ctrl-C.
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"

/** Runs an effect that Ctrl-C interrupts, and only that. */
export class Interruptible {
  private fiber: Fiber.Fiber<unknown, unknown> | undefined

  readonly interrupt = (): void => this.fiber?.interruptUnsafe()

  readonly run = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Exit.Exit<A, E>, never, R> =>
    Effect.gen({ self: this }, function* () {
      const fiber = yield* Effect.forkChild(effect)
      this.fiber = fiber
      const exit = yield* Fiber.await(fiber)
      this.fiber = undefined
      return exit
    })
}
