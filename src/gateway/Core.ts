/** The gateway without HTTP: its back-ends, queries and conversations, its access control, and its stop. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Address from "../net/Address.ts"
import type { Access } from "./Access.ts"
import { AddressQuota } from "./AddressQuota.ts"
import * as Backends from "./Backends.ts"
import * as Conversations from "./Conversations.ts"
import * as Dispatcher from "./Dispatcher.ts"
import type { GatewayConfig } from "./GatewayConfig.ts"
import * as GatewayError from "./GatewayError.ts"
import * as Queries from "./Queries.ts"
import * as Routes from "./Routes.ts"
import type * as Rules from "./Rules.ts"

/** The settings of the core; see `GatewayConfig`. */
export type Config = Pick<
  GatewayConfig,
  | "backends"
  | "ejectAfter"
  | "probeInterval"
  | "backendConnections"
  | "backendQueue"
  | "backendQueueTimeout"
  | "backendStallTimeout"
  | "backendConnectTimeout"
  | "backendSilence"
  | "maxConversations"
  | "conversationTimeout"
  | "verdictTime"
  | "maxVerdicts"
  | "httpDrainTimeout"
> &
  Partial<Pick<GatewayConfig, "httpMaxQueriesPerAddress">>

/** The parts that may be reloaded while the gateway runs. */
export interface Files {
  readonly rules: Rules.Rules
  readonly access: Access
}

export interface Core {
  readonly backends: Backends.Backends
  readonly queries: Queries.Queries
  readonly conversations: Conversations.Conversations
  readonly routes: Routes.Routes
  readonly dispatcher: Dispatcher.Dispatcher
  readonly access: () => Access
  /** Replaces rules and tokens; running queries are not affected. */
  readonly reload: (files: Files) => void
  readonly readiness: Effect.Effect<"ready" | "draining" | "unavailable">
  /** Open once no more queries are taken. */
  readonly draining: Latch.Latch
  /**
   * Takes no more queries, lets running ones finish within `httpDrainTimeout`, and ends the rest with
   * `shutting_down`.
   */
  readonly drain: Effect.Effect<void>
  /** Waits until draining has ended and no client needs to be waited for. */
  readonly hurried: Effect.Effect<void>
  /** Stops waiting for queries, if it drains or once it does. */
  readonly stopNow: Effect.Effect<void>
}

/**
 * The most queries with unread results that do not count for `backendConnections`: a server has room for as
 * many.
 */
const mostStalled = 256

/** Makes the core. The scope owns the connections to back-ends. */
export const make = Effect.fnUntraced(function* (
  config: Config,
  files: Files
): Effect.fn.Return<Core, Address.AddressError, Scope.Scope> {
  const backends = yield* Backends.make({
    backends: config.backends,
    ejectAfter: config.ejectAfter,
    probeInterval: config.probeInterval,
    pool: {
      maxConnections: config.backendConnections,
      maxQueuedRequests: config.backendQueue,
      queueTimeout: config.backendQueueTimeout,
      stallTimeout: config.backendStallTimeout,
      maxStalled: Math.min(config.backendQueue, mostStalled),
      connectTimeout: config.backendConnectTimeout,
      heartbeatTolerance: config.backendSilence
    }
  })
  const queries = yield* Queries.make(config)
  const conversations = new Conversations.Conversations({
    maxConversations: config.maxConversations,
    timeoutNanos: Option.getOrUndefined(Duration.toNanos(config.conversationTimeout))
  })
  let { access } = files
  const routesOf = (rules: Rules.Rules) => Routes.make({ backends, conversations, rules })
  let current = routesOf(files.rules)
  const routes: Routes.Routes = {
    find: (...query) => current.find(...query),
    get targets() {
      return current.targets
    },
    get headers() {
      return current.headers
    },
    backendOf: (target) => current.backendOf(target)
  }
  const hurry = Latch.makeUnsafe(false)
  const draining = Latch.makeUnsafe(false)
  const drained = Latch.makeUnsafe(false)
  const quota = new AddressQuota(config.httpMaxQueriesPerAddress ?? Number.POSITIVE_INFINITY)
  const dispatcher = Dispatcher.make({
    backends,
    queries,
    routes,
    admit: ({ caller, client, isInternal }, now) => {
      if (draining.isOpen()) return Dispatcher.shuttingDown
      if (isInternal === true) return access.admit(caller, now)
      const leave = quota.admit(client)
      if (leave instanceof GatewayError.GatewayError) return leave
      const release = access.admit(caller, now)
      if (release instanceof GatewayError.GatewayError) {
        leave()
        return release
      }
      return () => {
        release()
        leave()
      }
    }
  })
  return {
    backends,
    queries,
    conversations,
    routes,
    dispatcher,
    access: () => access,
    reload: (files) => {
      access = files.access
      current = routesOf(files.rules)
    },
    readiness: Effect.suspend(() => {
      if (draining.isOpen()) return Effect.succeed("draining")
      return Effect.map(backends.isReady, (isReady) => (isReady ? "ready" : "unavailable"))
    }),
    draining,
    drain: Effect.gen(function* () {
      yield* draining.open
      yield* Effect.timeoutOption(Effect.raceFirst(queries.idle, hurry.await), config.httpDrainTimeout)
      yield* Effect.forEach(queries.all, dispatcher.abandon, { concurrency: "unbounded", discard: true })
      yield* drained.open
    }),
    hurried: Effect.andThen(drained.await, hurry.await),
    stopNow: Effect.asVoid(hurry.open)
  }
})
