/**
 * Which back-end a query goes to.
 */
import * as Effect from "effect/Effect"
import type { Asked } from "./Asked.ts"
import type { Backends } from "./Backends.ts"
import type { Origin } from "./Dispatcher.ts"
import * as GatewayError from "./GatewayError.ts"
import type { Instance } from "./Instance.ts"

/** Where a query goes. */
export interface Route {
  readonly target: string
  readonly backend: string
  /** The addresses that may take it. */
  readonly instances: ReadonlyArray<Instance>
  /** An address has accepted it. */
  readonly chosen: (instance: Instance) => void
}

export interface Routes {
  readonly find: (asked: Asked, origin: Origin) => Effect.Effect<Route, GatewayError.GatewayError>
  /** The names that a request may give as its `target`. */
  readonly targets: ReadonlyArray<string>
}

export const make = (backends: Backends): Routes => {
  const targets = backends.all.map(({ name }) => name)
  return {
    targets,
    find: ({ target = targets[0] ?? "" }) => {
      const backend = backends.get(target)
      return backend === undefined
        ? Effect.fail(
            GatewayError.make(
              "unknown_target",
              `target: there is no ${target}; use one of ${targets.join(", ")}`
            )
          )
        : Effect.succeed({ target, backend: target, instances: backend.instances, chosen: () => {} })
    }
  }
}
