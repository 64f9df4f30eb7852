/**
 * The gateway: HTTP outside, back-ends inside.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Address from "../net/Address.ts"
import type * as Listener from "../net/Listener.ts"
import * as Backends from "./Backends.ts"
import * as Caller from "./Caller.ts"
import * as Console from "./Console.ts"
import * as Dispatcher from "./Dispatcher.ts"
import * as GatewayConfig from "./GatewayConfig.ts"
import * as GatewayError from "./GatewayError.ts"
import * as HttpApp from "./HttpApp.ts"
import * as HttpListener from "./HttpListener.ts"
import * as Queries from "./Queries.ts"
import * as Routes from "./Routes.ts"

/**
 * A running gateway.
 *
 * @category services
 * @since 0.1.0
 */
export interface GatewayService {
  /** Where it listens, with the ports that the system chose, in the order of the configuration. */
  readonly addresses: ReadonlyArray<Address.Address>
  /** How many queries run. */
  readonly queries: Effect.Effect<number>
  /** Stops waiting for queries, if the gateway is stopping or when it does. */
  readonly stopNow: Effect.Effect<void>
}

/**
 * The service of a running gateway; see {@link GatewayService}.
 *
 * @category services
 * @since 0.1.0
 */
export class Gateway extends Context.Service<Gateway, GatewayService>()("dataconn/gateway/Gateway") {}

const shuttingDown = GatewayError.make("shutting_down", "The gateway is shutting down", { retryable: true })

/**
 * Starts a gateway in the scope. Closing the scope stops it: it takes no query, lets running ones finish within
 * `httpDrainTimeout` and cancels the rest, whose responses are broken off.
 *
 * **Details**
 *
 * Back-ends are connected to when a query comes. Fails with a `ListenError` if it cannot listen on one of its
 * addresses. Dies with a `RangeError` that names the setting whose value cannot be one.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  options: GatewayConfig.Options
): Effect.fn.Return<GatewayService, Listener.ListenError | Address.AddressError, Scope.Scope> {
  const config = GatewayConfig.make(options)
  const backends = yield* Backends.make({
    backends: config.backends,
    ejectAfter: config.ejectAfter,
    probeInterval: config.probeInterval,
    pool: {
      maxConnections: config.backendConnections,
      maxQueuedRequests: config.backendQueue,
      connectTimeout: config.backendConnectTimeout,
      heartbeatTolerance: config.backendSilence
    }
  })
  const queries = yield* Queries.make(config)
  const routes = Routes.make(backends)
  const hurry = Latch.makeUnsafe(false)
  let isDraining = false
  const dispatcher = Dispatcher.make({
    backends,
    queries,
    routes,
    admit: () => (isDraining ? Effect.fail(shuttingDown) : Effect.void)
  })
  const app = yield* HttpApp.make({
    backends,
    dispatcher,
    queries,
    routes,
    identify: () => Caller.anybody,
    limits: config.limits,
    maxBodySize: config.httpMaxBodySize,
    response: { ...config, stallTimeout: config.httpStallTimeout },
    isReady: () => !isDraining,
    files: yield* Console.make
  })
  const addresses: Array<Address.Address> = []
  for (const text of config.http) {
    const address = yield* HttpListener.make(text, config, app)
    yield* Effect.logInfo(`Opening HTTP socket on ${Address.format(address)}...`)
    addresses.push(address)
  }
  // Before the servers close: until then health is told.
  yield* Effect.addFinalizer(() =>
    Effect.gen(function* () {
      isDraining = true
      yield* Effect.timeoutOption(Effect.raceFirst(queries.idle, hurry.await), config.httpDrainTimeout)
      yield* Effect.forEach(queries.all, dispatcher.cancel, { concurrency: "unbounded", discard: true })
    })
  )
  return Gateway.of({
    addresses,
    queries: Effect.sync(() => queries.size),
    stopNow: Effect.asVoid(hurry.open)
  })
})

/**
 * A gateway with these settings; see {@link make}.
 *
 * **Example** (Two back-ends)
 *
 * ```ts
 * import { NodeRuntime } from "@effect/platform-node"
 * import { Gateway } from "dataconn"
 * import { Layer } from "effect"
 *
 * Gateway.layer({
 *   http: ["127.0.0.1:8080"],
 *   backends: { main: ["127.0.0.1:11653"], eu: ["db1:11653", "db2:11653"] }
 * }).pipe(Layer.launch, NodeRuntime.runMain)
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options: GatewayConfig.Options
): Layer.Layer<Gateway, Listener.ListenError | Address.AddressError> => Layer.effect(Gateway, make(options))
