/**
 * Which back-end a query goes to: by its conversation, by the rules, or by its target.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Asked } from "./Asked.ts"
import type { Backends } from "./Backends.ts"
import type { Conversation, Conversations } from "./Conversations.ts"
import type { Origin } from "./Dispatcher.ts"
import * as GatewayError from "./GatewayError.ts"
import { type Instance, leastBusy } from "./Instance.ts"
import * as Rules from "./Rules.ts"

/** Where a query goes. */
export interface Route {
  /** The target that the request named, or else the name of the back-end. */
  readonly target: string
  readonly backend: string
  /** The addresses that may take it. */
  readonly instances: ReadonlyArray<Instance>
  /** The one that is tried first. */
  readonly preferred: Instance | undefined
  /** The conversation that the query belongs to and that stays where it is. */
  readonly conversation: string | undefined
  /** An address has accepted it. */
  readonly chosen: (instance: Instance) => void
}

export interface Routes {
  /** The route of a query, which the scope is as long as. */
  readonly find: (
    asked: Asked,
    origin: Origin
  ) => Effect.Effect<Route, GatewayError.GatewayError, Scope.Scope>
  /** The names that a request may give as its `target`. */
  readonly targets: ReadonlyArray<string>
  /** The back-end that a target names, but for rules that look at more. */
  readonly backendOf: (target: string) => string | undefined
}

export interface Dependencies {
  readonly backends: Backends
  readonly conversations: Conversations
  readonly rules: Rules.Rules
}

const nothing = () => {}

export const make = ({ backends, conversations, rules }: Dependencies): Routes => {
  const fallback = rules.default ?? backends.all[0]?.name ?? ""
  const targets = [...new Set([...backends.all.map(({ name }) => name), ...Rules.targets(rules)])]

  /** Asks the rules. */
  const decide = (asked: Asked, { caller, headers }: Origin): string | undefined => {
    const { query, target } = asked
    const ruled = Rules.decide(rules, { query, target, headers, token: caller.name, tenant: caller.tenant })
    return ruled ?? (target === undefined ? fallback : backends.get(target)?.name)
  }

  const choose = (asked: Asked, origin: Origin): Effect.Effect<Route, GatewayError.GatewayError> => {
    const backend = decide(asked, origin)
    if (backend === undefined) {
      const known = targets.join(", ")
      return Effect.fail(
        GatewayError.make("unknown_target", `target: there is no ${asked.target}; use one of ${known}`)
      )
    }
    return Effect.succeed({
      target: asked.target ?? backend,
      backend,
      instances: backends.get(backend)?.instances ?? [],
      preferred: undefined,
      conversation: undefined,
      chosen: nothing
    })
  }

  const converse = Effect.fnUntraced(function* (asked: Asked, origin: Origin, name: string) {
    // Each caller and each target has names of its own.
    const key = JSON.stringify([origin.caller.name ?? null, asked.target ?? null, name])
    const now = yield* Clock.monotonicTimeNanos
    const found = conversations.get(key, now)
    if (found?.isBound === true) {
      yield* during(key, found)
      return bound(asked, name, found)
    }
    const route = yield* choose(asked, origin)
    const instance = found?.instance ?? leastBusy(route.instances, new Set()) ?? route.instances[0]
    if (instance === undefined) return route
    const conversation = found ?? conversations.begin(key, instance, now)
    if (conversation instanceof GatewayError.GatewayError) return yield* conversation
    yield* during(key, conversation)
    return {
      ...route,
      preferred: conversation.instance,
      chosen: (chosen: Instance) => conversations.bind(key, conversation, chosen)
    }
  })

  /** The conversation is in use for as long as the query. */
  const during = (key: string, conversation: Conversation): Effect.Effect<void, never, Scope.Scope> => {
    const leave = conversations.use(key, conversation)
    return Effect.addFinalizer(() => Effect.map(Clock.monotonicTimeNanos, leave))
  }

  return {
    targets,
    backendOf: (target) => {
      const named = { query: "", target, headers: {}, token: undefined, tenant: undefined }
      return Rules.decide(rules, named) ?? backends.get(target)?.name
    },
    find: (asked, origin) =>
      asked.conversation === undefined ? choose(asked, origin) : converse(asked, origin, asked.conversation)
  }
}

const bound = (asked: Asked, name: string, { instance }: Conversation): Route => ({
  target: asked.target ?? instance.backend,
  backend: instance.backend,
  instances: [instance],
  preferred: instance,
  conversation: name,
  chosen: nothing
})
