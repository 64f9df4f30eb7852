/** Whether queries find a back-end, by asking the addresses. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { Instance } from "./Instance.ts"

/** How long an answer is valid. */
const freshness = "2 seconds"

/** How long to wait for an answer. A busy back-end may take longer, and keeps its state until then. */
const patience = "500 millis"

/** `ask` asks an address and records the outcome. The scope owns the pending requests. */
export const make = Effect.fnUntraced(function* (
  instances: ReadonlyArray<Instance>,
  ask: (instance: Instance) => Effect.Effect<void>
): Effect.fn.Return<Effect.Effect<boolean>, never, Scope.Scope> {
  const scope = yield* Effect.scope
  /** An address that hangs is asked only once. */
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

  // The first answer is enough, and an address without an answer delays nothing else.
  const first = Effect.suspend(() => {
    // The others are probed separately until they answer.
    const inUse = instances.filter(({ state }) => state === "up")
    if (inUse.length === 0) return Effect.void
    return Effect.ignore(Effect.timeoutOption(Effect.raceAll(inUse.map(asked)), patience))
  })
  const [known, forget] = yield* Effect.cachedInvalidateWithTTL(first, freshness)
  return Effect.suspend(() => Effect.map(isUp() ? known : Effect.andThen(forget, known), isUp))
})
