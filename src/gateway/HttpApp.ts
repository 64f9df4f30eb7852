/** The HTTP application: its routes, and the errors of requests without a route. */
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
import * as Origins from "./Origins.ts"
import * as Problem from "./Problem.ts"
import * as QueryRoutes from "./QueryRoutes.ts"
import * as RequestHead from "./RequestHead.ts"
import * as StreamRoute from "./StreamRoute.ts"

export interface Dependencies
  extends QueryRoutes.Dependencies,
    CatalogRoutes.Dependencies,
    StreamRoute.Dependencies {
  /**
   * Whether the gateway takes queries: it does not while it stops, nor while none of its back-ends can be
   * reached.
   */
  readonly readiness: Effect.Effect<"ready" | "draining" | "unavailable">
  /** The metrics in the format of Prometheus. */
  readonly metrics: Effect.Effect<string>
  /** Whether a `Host` header names this gateway. */
  readonly isOwnHost: (header: string | undefined) => boolean
  /** Whether the gateway has TLS. */
  readonly isSecure: boolean
  /** Web pages of other origins that may use the gateway. */
  readonly origins: Origins.Names
  /** Headers that rules read: pages of other origins may send them. */
  readonly ruledHeaders: () => ReadonlyArray<string>
  /** Answers requests without a route of the API: the files of the console. */
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
            HttpServerResponse.text(text, {
              contentType: "text/plain; version=0.0.4; charset=utf-8",
              headers: { "cache-control": "no-store", "x-content-type-options": "nosniff" }
            })
          )
        : Effect.fail(GatewayError.make("forbidden", "The token is no admin's"))
    )
  )

const health = ({ readiness }: Dependencies) => [
  HttpRouter.route(
    "GET",
    "/healthz",
    Effect.sync(() => Http.json({ status: "ok" }))
  ),
  HttpRouter.route(
    "GET",
    "/readyz",
    Effect.map(readiness, (status) => Http.json({ status }, status === "ready" ? 200 : 503))
  )
]

/** The answer to `OPTIONS`. */
const allowed = (allow: string) => HttpServerResponse.empty({ status: 204, headers: { allow } })

/** The methods that any of the routes takes. */
const methods = ["GET", "HEAD", "POST", "DELETE", "OPTIONS"] as const

/** The answer to a method that a path does not take, or to `OPTIONS`. */
const taking = (methods: ReadonlyArray<string>, method: string, path: string) => {
  const allow = methods.join(", ")
  if (method === "OPTIONS") return allowed(allow)
  const error = GatewayError.make("method_not_allowed", `${path} takes ${allow}, not ${method}`)
  return Problem.toResponse(error, { headers: { allow } })
}

const nothingAt = (path: string) =>
  Http.handled(Effect.fail(GatewayError.make("no_route", `There is nothing at ${path}`)))

/** The path of a route as a pattern of URLs. */
const pattern = (path: string): RegExp => new RegExp(`^${path.replace(/:[a-z]+/g, "[^/]+")}/?$`)

/** Longer than any id of a query. */
const maxParamLength = 1024

export const make = Effect.fnUntraced(function* (dependencies: Dependencies): Effect.fn.Return<App> {
  const guarded = amongFriends(dependencies)
  const routes = [
    ...QueryRoutes.make(guarded),
    ...CatalogRoutes.make(guarded),
    ...health(dependencies),
    administered(dependencies),
    ...(yield* DocsRoutes.make),
    StreamRoute.make(guarded)
  ]
  const router = yield* Effect.provideService(HttpRouter.make, HttpRouter.RouterConfig, { maxParamLength })
  yield* router.addAll(routes)
  const known = routes.map(({ method, path }) => ({ method, pattern: pattern(path) }))

  /** No route matches: the request has another method, or asks for a file or an unknown path. */
  const otherwise = Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ method, url }) => {
    const path = url.replace(/[?#].*$/, "")
    if (path === "*" && method === "OPTIONS") return Effect.succeed(allowed(methods.join(", ")))
    const taken = known.filter((route) => route.pattern.test(path)).map(({ method }) => method)
    if (taken.length > 0) {
      const allow = [...new Set(taken), ...(taken.includes("GET") ? ["HEAD"] : []), "OPTIONS"]
      // A part of the path is too long.
      return method !== "OPTIONS" && allow.includes(method)
        ? nothingAt(path)
        : Effect.succeed(taking(allow, method, path))
    }
    return Http.handled(
      method === "GET" || method === "HEAD"
        ? dependencies.files
        : Effect.map(dependencies.files, () => taking(["GET", "HEAD", "OPTIONS"], method, path))
    )
  })

  const app = Effect.catchIf(
    router.asHttpEffect() as App,
    ({ reason }) => reason._tag === "RouteNotFound",
    () => otherwise
  )
  return shared(
    dependencies,
    Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
      const refused = refusal(dependencies, request)
      const answer = refused === undefined ? app : Http.handled(Effect.fail(refused))
      return request.headers["upgrade"] === undefined ? answer : Effect.map(answer, closing)
    })
  )
})

/** The answer to a request for another protocol: Node's parser loses the bytes after it. */
const closing = HttpServerResponse.setHeader("connection", "close")

/** The reason why a request is refused before any route. */
const refusal = (
  { isOwnHost, ruledHeaders }: Dependencies,
  request: HttpServerRequest.HttpServerRequest
): GatewayError.GatewayError | undefined => {
  const { headers, url } = request
  const refused = RequestHead.refusal(Http.incoming(request), (name) => ruledHeaders().includes(name))
  if (refused !== undefined) return refused
  if (!isOwnHost(headers["host"])) return misdirected(headers["host"])
  const problem = Http.problemOfUrl(url)
  return problem === undefined ? undefined : GatewayError.badRequest(problem)
}

/**
 * Identifies no caller for requests from a foreign page. Routes that may be linked to from other sites do not
 * ask for a caller.
 */
const amongFriends = (dependencies: Dependencies): Dependencies => ({
  ...dependencies,
  identify: (request, authorization) => {
    const page = Origins.stranger(request.headers, dependencies.origins, dependencies.isSecure)
    return page === undefined
      ? dependencies.identify(request, authorization)
      : GatewayError.make("forbidden", `Origin: pages of ${page} may not use the gateway; see httpOrigins`)
  }
})

const misdirected = (host: string | undefined): GatewayError.GatewayError =>
  GatewayError.make(
    "misdirected_request",
    `Host: the gateway is not known as ${host}; name it in httpHosts, or use its address`
  )

/** The headers that pages may send. */
const pageHeaders = ["authorization", "content-type", "content-encoding", "accept", "traceparent"]

/** Admits pages of permitted other origins (CORS). */
const shared = ({ origins, ruledHeaders }: Dependencies, app: App): App => {
  if (origins !== "*" && origins.size === 0) return app
  const cors = (allowedHeaders: ReadonlyArray<string>) =>
    HttpMiddleware.cors({
      allowedOrigins: origins === "*" ? ["*"] : [...origins],
      allowedMethods: [...methods],
      allowedHeaders,
      exposedHeaders: [Problem.queryIdHeader, "x-dataconn-columns", "retry-after"],
      maxAge: 600
    })(app)
  const answer = cors(pageHeaders)
  // Rules may have been reloaded.
  return Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ method }) =>
    method === "OPTIONS" ? cors([...new Set([...pageHeaders, ...ruledHeaders()])]) : answer
  )
}
