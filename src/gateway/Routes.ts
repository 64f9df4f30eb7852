/** The routing of queries to back-ends: by conversation, by rules, or by target. */
import type { Asked } from "./Asked.ts"
import type { Backends, Home } from "./Backends.ts"
import type { Conversation, Conversations } from "./Conversations.ts"
import type { Origin } from "./Dispatcher.ts"
import * as GatewayError from "./GatewayError.ts"
import { type Instance, leastBusy } from "./Instance.ts"
import * as Rules from "./Rules.ts"

/** The route of a query. */
export interface Route {
  /** The target that the request named, or else the name of the back-end. */
  readonly target: string
  readonly backend: string
  /** The addresses that may take it. */
  readonly instances: ReadonlyArray<Instance>
  /** The constraints of its conversation on the address. */
  readonly home: Home | undefined
  /** The conversation of the query, if it is bound to its address. */
  readonly conversation: string | undefined
  /** Called when an address has accepted the query. */
  readonly chosen: (instance: Instance) => void
  /** Called when the query has ended, with the time in nanoseconds of the monotonic clock. */
  readonly leave: (now: bigint) => void
}

export interface Routes {
  /**
   * The route of a query that begins now, in nanoseconds of the monotonic clock. Call its `leave` once the
   * query has ended.
   */
  readonly find: (asked: Asked, origin: Origin, now: bigint) => Route | GatewayError.GatewayError
  /** The valid values of a request's `target`. */
  readonly targets: ReadonlyArray<string>
  /** Headers of a request that rules read. */
  readonly headers: ReadonlyArray<string>
  /** The back-end of a target, apart from rules with more conditions. */
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

  /** Applies the rules. */
  const decide = (asked: Asked, { caller, headers }: Origin): string | undefined => {
    const { query, target } = asked
    const ruled = Rules.decide(rules, { query, target, headers, token: caller.name, tenant: caller.tenant })
    return ruled ?? (target === undefined ? fallback : backends.get(target)?.name)
  }

  const choose = (asked: Asked, origin: Origin): Route | GatewayError.GatewayError => {
    const backend = decide(asked, origin)
    if (backend === undefined) {
      const known = targets.join(", ")
      return GatewayError.make("unknown_target", `target: there is no ${asked.target}; use one of ${known}`)
    }
    return {
      target: asked.target ?? backend,
      backend,
      instances: backends.get(backend)?.instances ?? [],
      home: undefined,
      conversation: undefined,
      chosen: nothing,
      leave: nothing
    }
  }

  const converse = (
    asked: Asked,
    origin: Origin,
    name: string,
    now: bigint
  ): Route | GatewayError.GatewayError => {
    // Names of conversations are separate for each caller and each target.
    const key = JSON.stringify([origin.caller.name ?? null, asked.target ?? null, name])
    const found = conversations.get(key, now)
    if (found?.isBound === true) {
      return { ...bound(asked, name, found), leave: conversations.use(key, found) }
    }
    const route = choose(asked, origin)
    if (route instanceof GatewayError.GatewayError) return route
    const instance = found?.instance ?? leastBusy(route.instances, []) ?? route.instances[0]
    if (instance === undefined) return route
    const conversation = found ?? conversations.begin(key, instance, now)
    if (conversation instanceof GatewayError.GatewayError) return conversation
    return {
      ...route,
      home: homeOf(conversation),
      // Another query of the conversation may be accepted first.
      get conversation() {
        return conversation.isBound ? name : undefined
      },
      chosen: (chosen: Instance) => conversations.bind(key, conversation, chosen),
      leave: conversations.use(key, conversation)
    }
  }

  return {
    targets,
    headers: Rules.headers(rules),
    backendOf: (target) => {
      const named = { query: "", target, headers: {}, token: undefined, tenant: undefined }
      return Rules.decide(rules, named) ?? backends.get(target)?.name
    },
    find: (asked, origin, now) =>
      asked.conversation === undefined
        ? choose(asked, origin)
        : converse(asked, origin, asked.conversation, now)
  }
}

/**
 * A query moves its conversation to another address only while no other query may have been accepted at the
 * present one.
 */
const homeOf = (conversation: Conversation): Home => ({
  preferred: () => conversation.instance,
  isFixed: () => conversation.isBound || conversation.active > 1,
  tried: (instance) => {
    if (!conversation.isBound) conversation.instance = instance
  }
})

const bound = (asked: Asked, name: string, { instance }: Conversation): Omit<Route, "leave"> => ({
  target: asked.target ?? instance.backend,
  backend: instance.backend,
  instances: [instance],
  home: undefined,
  conversation: name,
  chosen: nothing
})
