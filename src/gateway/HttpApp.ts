/**
 * The HTTP application: its routes, and errors of requests that have none.
 */
import * as Effect from "effect/Effect"
import * as HttpMiddleware from "effect/http/HttpMiddleware"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as CatalogRoutes from "./CatalogRoutes.ts"
import * as DocsRoutes from "./DocsRoutes.ts"
import * as GatewayError from "./GatewayError.ts"
import * as Http from "./Http.ts"
import type { App } from "./HttpListener.ts"
import type * as Origins from "./Origins.ts"
import * as Problem from "./Problem.ts"
import * as QueryRoutes from "./QueryRoutes.ts"
import * as StreamRoute from "./StreamRoute.ts"

export interface Dependencies extends QueryRoutes.Dependencies, CatalogRoutes.Dependencies {
  readonly stream: Omit<StreamRoute.Dependencies, "dispatcher" | "origins">
  /** Whether the gateway takes queries: not while it stops. */
  readonly isReady: () => boolean
  /** The metrics as Prometheus reads them. */
  readonly metrics: Effect.Effect<string>
  /** Whether a request may call the gateway so. */
  readonly isOwnHost: (header: string | undefined) => boolean
  /** Web pages of other origins that may use the gateway. */
  readonly origins: Origins.Names
  /** Answers what no route of the API does: the files of the console. */
  readonly files: Effect.Effect<
    HttpServerResponse.HttpServerResponse,
    GatewayError.GatewayError,
    HttpServerRequest.HttpServerRequest
  >
}

const administered = (dependencies: Dependencies) =>
  HttpRouter.route(
    "GET",
    "/metrics",
    QueryRoutes.authenticated(dependencies, (_, { admin }) =>
      admin
        ? Effect.map(dependencies.metrics, (text) =>
            HttpServerResponse.text(text, { contentType: "text/plain; version=0.0.4; charset=utf-8" })
          )
        : Effect.fail(GatewayError.make("forbidden", "The token is no admin's"))
    )
  )

const health = ({ isReady }: Dependencies) => [
  HttpRouter.route(
    "GET",
    "/healthz",
    Effect.sync(() => Http.json({ status: "ok" }))
  ),
  HttpRouter.route(
    "GET",
    "/readyz",
    Effect.sync(() => (isReady() ? Http.json({ status: "ready" }) : Http.json({ status: "draining" }, 503)))
  )
]

/** The path of a route as a pattern of URLs. */
const pattern = (path: string): RegExp => new RegExp(`^${path.replace(/:[a-z]+/g, "[^/]+")}/?$`)

export const make = Effect.fnUntraced(function* (dependencies: Dependencies): Effect.fn.Return<App> {
  const routes = [
    ...QueryRoutes.make(dependencies),
    ...CatalogRoutes.make(dependencies),
    ...health(dependencies),
    administered(dependencies),
    ...(yield* DocsRoutes.make),
    StreamRoute.make({ ...dependencies, ...dependencies.stream })
  ]
  const router = yield* HttpRouter.make
  yield* router.addAll(routes)
  const known = routes.map(({ method, path }) => ({ method, pattern: pattern(path) }))

  /** No route: another method, a file, or nothing at all. */
  const otherwise = Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
    const path = request.url.replace(/[?#].*$/, "")
    const methods = known.filter((route) => route.pattern.test(path)).map(({ method }) => method)
    if (methods.length > 0) {
      // One of a query would run it.
      const heads = methods.includes("GET") && !QueryRoutes.path.test(path) ? ["HEAD"] : []
      const allow = [...new Set(methods), ...heads, "OPTIONS"].join(", ")
      if (request.method === "OPTIONS") {
        return Effect.succeed(HttpServerResponse.empty({ status: 204, headers: { allow } }))
      }
      const error = GatewayError.make("method_not_allowed", `${path} takes ${allow}, not ${request.method}`)
      return Effect.succeed(Problem.toResponse(error, { headers: { allow } }))
    }
    return request.method === "GET" || request.method === "HEAD"
      ? Http.handled(dependencies.files)
      : Http.handled(Effect.fail(GatewayError.make("no_route", `There is nothing at ${path}`)))
  })

  const app = Effect.catchIf(
    router.asHttpEffect() as App,
    ({ reason }) => reason._tag === "RouteNotFound",
    () => otherwise
  )
  return shared(dependencies.origins)(
    Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) =>
      dependencies.isOwnHost(headers["host"]) ? app : Http.handled(Effect.fail(misdirected(headers["host"])))
    )
  )
})

const misdirected = (host: string | undefined): GatewayError.GatewayError =>
  GatewayError.make(
    "misdirected_request",
    `Host: the gateway is not known as ${host}; name it in httpHosts, or use its address`
  )

/** Lets pages of other origins in, if they may (CORS). */
const shared = (origins: Origins.Names): ((app: App) => App) =>
  origins !== "*" && origins.size === 0
    ? (app) => app
    : HttpMiddleware.cors({
        allowedOrigins: origins === "*" ? ["*"] : [...origins],
        allowedMethods: ["GET", "POST", "DELETE", "OPTIONS"],
        allowedHeaders: ["authorization", "content-type", "accept", "traceparent"],
        exposedHeaders: [Problem.queryIdHeader, "x-dataconn-columns", "retry-after"],
        maxAge: 600
      })
