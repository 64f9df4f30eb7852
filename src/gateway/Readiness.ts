/**
 * Whether queries find a back-end: asks the addresses.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { Instance } from "./Instance.ts"

/** How long an answer counts. */
const freshness = "2 seconds"

/** How long is waited for one. A back-end that is busy may take longer, and is what it was until then. */
const patience = "500 millis"

/** `ask` asks an address and takes note of the outcome. The scope owns what is asked. */
export const make = Effect.fnUntraced(function* (
  instances: ReadonlyArray<Instance>,
  ask: (instance: Instance) => Effect.Effect<void>
): Effect.fn.Return<Effect.Effect<boolean>, never, Scope.Scope> {
  const scope = yield* Effect.scope
  /** One that hangs is asked once. */
  const asking = new Map<Instance, Fiber.Fiber<void>>()
  const isUp = (): boolean => instances.some(({ answers }) => answers)

  const asked = (instance: Instance) =>
    Effect.gen(function* () {
      const last = asking.get(instance)
      const isAsking = last !== undefined && last.pollUnsafe() === undefined
      const fiber = isAsking ? last : yield* Effect.forkIn(ask(instance), scope)
      asking.set(instance, fiber)
      yield* Fiber.join(fiber)
      if (!instance.answers) return yield* Effect.fail("down" as const)
    })

  // The first that answers is enough, and one that does not holds up nobody.
  const first = Effect.suspend(() => {
    // The others are probed until they answer.
    const inUse = instances.filter(({ state }) => state === "up")
    if (inUse.length === 0) return Effect.void
    return Effect.ignore(Effect.timeoutOption(Effect.raceAll(inUse.map(asked)), patience))
  })
  const [known, forget] = yield* Effect.cachedInvalidateWithTTL(first, freshness)
  return Effect.suspend(() => Effect.map(isUp() ? known : Effect.andThen(forget, known), isUp))
})
