/**
 * Whether queries find a back-end: asks those addresses of which nothing has been heard.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { Instance } from "./Instance.ts"

/** How long an answer counts. */
const freshness = "10 seconds"

/** How long is waited for one. */
const patience = "1 second"

/** `ask` asks an address and takes note of the outcome. The scope owns what is asked. */
export const make = Effect.fnUntraced(function* (
  instances: ReadonlyArray<Instance>,
  ask: (instance: Instance) => Effect.Effect<void>
): Effect.fn.Return<Effect.Effect<boolean>, never, Scope.Scope> {
  const scope = yield* Effect.scope
  /** One that hangs is asked once. */
  const asking = new Map<Instance, Fiber.Fiber<void>>()
  const isUp = (): boolean => instances.some(({ told }) => told === "up")

  const asked = (instance: Instance) =>
    Effect.gen(function* () {
      const over = Effect.sync(() => asking.delete(instance))
      const fiber =
        asking.get(instance) ?? (yield* Effect.forkIn(Effect.ensuring(ask(instance), over), scope))
      asking.set(instance, fiber)
      yield* Fiber.join(fiber)
      if (instance.told !== "up") return yield* Effect.fail("down" as const)
    })

  // The first that answers is enough, and one that does not holds up nobody.
  const first = Effect.suspend(() =>
    Effect.raceAll(instances.filter(({ state }) => state === "up").map(asked)).pipe(
      Effect.timeoutOption(patience),
      Effect.ignore
    )
  )
  const [known, forget] = yield* Effect.cachedInvalidateWithTTL(first, freshness)
  return Effect.suspend(() => {
    if (instances.some(({ inFlight, told }) => told === "up" && inFlight > 0)) return Effect.succeed(true)
    return Effect.map(isUp() ? known : Effect.andThen(forget, known), isUp)
  })
})
