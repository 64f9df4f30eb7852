/** The gateway: serves HTTP and sends queries to back-ends. */
import { createSecureContext } from "node:tls"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import * as Address from "../net/Address.ts"
import type * as Listener from "../net/Listener.ts"
import * as Signals from "../server/Signals.ts"
import * as Access from "./Access.ts"
import * as Console from "./Console.ts"
import * as Core from "./Core.ts"
import * as Files from "./Files.ts"
import * as GatewayConfig from "./GatewayConfig.ts"
import * as HttpApp from "./HttpApp.ts"
import * as HttpListener from "./HttpListener.ts"
import * as Metrics from "./Metrics.ts"
import * as Origins from "./Origins.ts"
import * as Rules from "./Rules.ts"

export type { Tokens } from "./Access.ts"
export type { Rules } from "./Rules.ts"

/**
 * A running gateway.
 *
 * @category services
 * @since 0.1.0
 */
export interface GatewayService {
  /**
   * The addresses that it listens on, in the order of the configuration, with the ports that the system
   * chose.
   */
  readonly addresses: ReadonlyArray<Address.Address>
  /** The number of running queries. */
  readonly queries: Effect.Effect<number>
  /**
   * Reloads `httpTokens` and `httpRules`, if these are files or functions; running queries are not affected.
   * Fails without any change if one of them cannot be used.
   */
  readonly reload: Effect.Effect<void, Files.GatewayFileError>
  /** Stops waiting for queries and clients, if the gateway is stopping or once it does. */
  readonly stopNow: Effect.Effect<void>
}

/**
 * The service of a running gateway; see {@link GatewayService}.
 *
 * @category services
 * @since 0.1.0
 */
export class Gateway extends Context.Service<Gateway, GatewayService>()("dataconn/gateway/Gateway") {}

/**
 * The reasons why a gateway cannot start.
 *
 * @category errors
 * @since 0.1.0
 */
export type StartError = Listener.ListenError | Address.AddressError | Files.GatewayFileError

/** The content of the files that the settings name, or of their replacements in code. */
const files = Effect.fnUntraced(function* (config: GatewayConfig.GatewayConfig) {
  const { backends, httpCertificate, httpKey, httpRules, httpTokens } = config
  const rules = httpRules === undefined ? Rules.none : yield* Files.held("httpRules", httpRules, Rules.form)
  const misrule = Rules.problemOf(rules, Object.keys(backends))
  if (misrule !== undefined) {
    const path = Files.pathOf(httpRules)
    return yield* new Files.GatewayFileError({ setting: "httpRules", path, problem: misrule })
  }
  const tokens =
    httpTokens === undefined ? undefined : yield* Files.held("httpTokens", httpTokens, Access.form)
  const problem = tokens && Access.problemOf(tokens)
  if (problem !== undefined) {
    const path = Files.pathOf(httpTokens)
    return yield* new Files.GatewayFileError({ setting: "httpTokens", path, problem })
  }
  const tls = yield* tlsOf(httpCertificate, httpKey)
  for (const warning of Rules.idle(rules, tokens?.tokens ?? [], Object.keys(backends))) {
    yield* Effect.logWarning(warning)
  }
  return { rules, tokens, tls }
})

const tlsOf = Effect.fnUntraced(function* (certificate: string | undefined, key: string | undefined) {
  if (certificate === undefined && key === undefined) return undefined
  if (certificate === undefined || key === undefined) {
    const setting = certificate === undefined ? "httpKey" : "httpCertificate"
    const problem = `TLS needs ${setting === "httpKey" ? "httpCertificate" : "httpKey"} too`
    return yield* new Files.GatewayFileError({ setting, path: certificate ?? key ?? "", problem })
  }
  const tls = {
    cert: yield* Files.text("httpCertificate", certificate),
    key: yield* Files.text("httpKey", key)
  }
  yield* Effect.try({
    try: () => createSecureContext(tls),
    catch: (cause) =>
      new Files.GatewayFileError({
        setting: "httpCertificate",
        path: certificate,
        problem: `cannot be used with httpKey ${key}: ${(cause as Error).message}`
      })
  })
  return tls
})

/**
 * Starts a gateway in the scope. Closing the scope stops it: it takes no more queries, lets running ones
 * finish within `httpDrainTimeout` and ends the rest with `shutting_down`, or breaks their responses off if
 * an error can no longer be sent. WebSockets are closed once they have no query. Clients then have two
 * seconds to take pending bytes.
 *
 * **Details**
 *
 * Connections to back-ends are made for the first query. Fails with a `ListenError` if the gateway cannot
 * listen on one of its addresses. Dies with a `RangeError` that names a setting with an invalid value.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  options: GatewayConfig.Options
): Effect.fn.Return<GatewayService, StartError, Scope.Scope> {
  const config = GatewayConfig.make(options)
  const { rules, tls, tokens } = yield* files(config)
  const core = yield* Core.make(config, { rules, access: new Access.Access(tokens) })
  const { backends, conversations, dispatcher, queries, routes } = core
  const hosts = Origins.hosts(config.httpHosts ?? "") ?? Origins.none
  const app = yield* HttpApp.make({
    backends,
    dispatcher,
    queries,
    routes,
    identify: ({ headers }, authorization = headers["authorization"]) =>
      core.access().identify(authorization),
    metrics: Effect.suspend(() =>
      Metrics.format({ backends, conversations: conversations.size, queries: queries.size })
    ),
    // A page whose own domain name resolves to this gateway would have no token.
    isOwnHost: (header) => core.access().isGuarded || Origins.isOwnHost(header, hosts),
    isSecure: tls !== undefined,
    origins: Origins.origins(config.httpOrigins ?? "") ?? Origins.none,
    ruledHeaders: () => routes.headers,
    stream: config,
    draining: core.draining,
    limits: config.limits,
    maxBodySize: config.httpMaxBodySize,
    response: { ...config, stallTimeout: config.httpStallTimeout },
    readiness: core.readiness,
    files: yield* Console.make
  })
  const listening: Array<HttpListener.HttpListener> = []
  const ended = Effect.sync(() => {
    for (const { end } of listening) end()
  })
  yield* Effect.forkScoped(Effect.andThen(core.hurried, Effect.delay(ended, HttpListener.hastyGoodbye)))
  const listeners = yield* Scope.fork(yield* Effect.scope, "parallel")
  // Before the servers close: health is reported until then.
  yield* Effect.addFinalizer(() => core.drain)
  for (const text of config.http) {
    const listener = yield* Scope.fork(listeners)
    const made = yield* Scope.provide(HttpListener.make(text, config, tls, app), listener)
    const { address } = made
    const risk = HttpListener.exposure(address, {
      hasTls: tls !== undefined,
      hasTokens: tokens !== undefined
    })
    if (risk !== undefined) yield* Effect.logWarning(risk)
    yield* Effect.logInfo(`Opening HTTP socket on ${Address.format(address)}...`)
    listening.push(made)
  }
  return Gateway.of({
    addresses: listening.map(({ address }) => address),
    queries: Effect.sync(() => queries.size),
    reload: Effect.map(files(config), ({ rules, tokens }) =>
      core.reload({ rules, access: new Access.Access(tokens) })
    ),
    stopNow: core.stopNow
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
 * }).pipe(Layer.launch, NodeRuntime.runMain({ teardown: Gateway.teardown }))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: GatewayConfig.Options): Layer.Layer<Gateway, StartError> =>
  Layer.effect(Gateway, make(options))

/**
 * The same layer, for a program that SIGINT or SIGTERM interrupts, such as one that `NodeRuntime.runMain`
 * runs. After a second signal the gateway waits for no more queries, and a third ends the process.
 *
 * **Details**
 *
 * Without it a second signal does nothing, and the gateway stops when its queries have ended or
 * `httpDrainTimeout` is over. A program that serves its own back-end applies the server's layer too: each of
 * the two waits for its own.
 *
 * **Example** (A gateway and the server behind it)
 *
 * ```ts
 * import { NodeRuntime } from "@effect/platform-node"
 * import { Gateway, Server } from "dataconn"
 * import { DuckDbEngine } from "dataconn/duckdb"
 * import { Layer } from "effect"
 *
 * Gateway.layer({ http: ["127.0.0.1:8080"], backends: { main: ["127.0.0.1:11653"] } }).pipe(
 *   Layer.provideMerge(Server.layer({ listen: ["127.0.0.1:11653"] })),
 *   Layer.provide(DuckDbEngine.layer({ database: "market.duckdb" })),
 *   Gateway.stopsOnSecondSignal,
 *   Server.stopsOnSecondSignal,
 *   Layer.launch,
 *   NodeRuntime.runMain({ teardown: Gateway.teardown })
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const stopsOnSecondSignal = <A, E, R>(
  layer: Layer.Layer<Gateway | A, E, R>
): Layer.Layer<Gateway | A, E, R> => Signals.stopsOnSecond(Gateway, layer)

/**
 * For `NodeRuntime.runMain`: a program that a signal has stopped exits with 0, as the command does, and not
 * with 130, which supervisors treat as a failure.
 *
 * @category running
 * @since 0.1.0
 */
export const teardown: Runtime.Teardown = Signals.teardown
