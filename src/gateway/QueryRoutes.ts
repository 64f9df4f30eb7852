/** `/v1/query` and `/v1/queries`: runs queries, reports their verdicts, and cancels them. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Scope from "effect/Scope"
import type { RequestLimits } from "../engine/Limits.ts"
import type { Progress } from "../engine/QueryEngine.ts"
import * as Asked from "./Asked.ts"
import * as BackendProgress from "./BackendProgress.ts"
import * as Body from "./Body.ts"
import * as Caller from "./Caller.ts"
import type { Dispatcher } from "./Dispatcher.ts"
import * as GatewayError from "./GatewayError.ts"
import * as Http from "./Http.ts"
import type { Entry, Queries } from "./Queries.ts"
import * as QueryResponse from "./QueryResponse.ts"

type Response = HttpServerResponse.HttpServerResponse

export interface Dependencies {
  readonly dispatcher: Dispatcher
  readonly queries: Queries
  /** The caller of a request, by its header or by the given credentials. */
  readonly identify: (
    request: HttpServerRequest,
    authorization?: string
  ) => Caller.Caller | GatewayError.GatewayError
  readonly limits: RequestLimits
  readonly maxBodySize: number
  readonly response: QueryResponse.Settings
}

type Handler<R = never> = (
  request: HttpServerRequest,
  caller: Caller.Caller
) => Effect.Effect<Response, GatewayError.GatewayError, R>

const orFail = <A>(value: A | GatewayError.GatewayError): Effect.Effect<A, GatewayError.GatewayError> =>
  value instanceof GatewayError.GatewayError ? Effect.fail(value) : Effect.succeed(value)

/** Runs a handler for an authenticated caller. */
export const authenticated =
  <R>({ identify }: Pick<Dependencies, "identify">, handler: Handler<R>) =>
  (request: HttpServerRequest): Effect.Effect<Response, never, R> =>
    Http.handled(
      Effect.suspend(() => {
        const caller = identify(request)
        return caller instanceof GatewayError.GatewayError ? Effect.fail(caller) : handler(request, caller)
      })
    )

/** Runs a handler only if the URL has no parameters but these. */
export const taking =
  <R>(known: ReadonlyArray<string>, handler: Handler<R>): Handler<R> =>
  (request, caller) => {
    const problem = Http.problemOfParameters(request, known)
    return problem === undefined ? handler(request, caller) : Effect.fail(problem)
  }

/** The query of a `POST`: the v1 request as JSON, or SQL with the rest in the URL. */
const posted = (
  { limits, maxBodySize }: Dependencies,
  request: HttpServerRequest,
  { formats }: Caller.Caller
): Effect.Effect<Asked.Asked, GatewayError.GatewayError> => {
  const type = Body.mediaType(request.headers["content-type"])
  if (type instanceof GatewayError.GatewayError) return Effect.fail(type)
  const url = Asked.fromUrl(Http.searchParams(request))
  if (url instanceof GatewayError.GatewayError) return Effect.fail(url)
  const { accept } = request.headers
  return Effect.flatMap(Body.read(request, maxBodySize), (bytes) => {
    const fields = type === "application/json" ? Asked.fromJson(bytes, limits) : Asked.fromSql(bytes)
    if (fields instanceof GatewayError.GatewayError) return Effect.fail(fields)
    const twice = Object.keys(url).find((name) => name in fields)
    return twice === undefined
      ? orFail(
          Asked.make(
            { ...fields, ...url },
            { accept, formats: formats && [...formats], limits, readOnly: false }
          )
        )
      : Effect.fail(GatewayError.badRequest(`${twice}: given in the URL and in the body`))
  })
}

/** The query of a `GET`, which is in the URL and only reads. */
const gotten = (
  { limits }: Dependencies,
  request: HttpServerRequest,
  { formats }: Caller.Caller
): Effect.Effect<Asked.Asked, GatewayError.GatewayError> => {
  const fields = Asked.fromUrl(Http.searchParams(request))
  if (fields instanceof GatewayError.GatewayError) return Effect.fail(fields)
  const { accept } = request.headers
  return orFail(Asked.make(fields, { accept, formats: formats && [...formats], limits, readOnly: true }))
}

const run =
  (
    dependencies: Dependencies,
    ask: (
      dependencies: Dependencies,
      request: HttpServerRequest,
      caller: Caller.Caller
    ) => Effect.Effect<Asked.Asked, GatewayError.GatewayError>
  ): Handler<Scope.Scope> =>
  (request, caller) =>
    Effect.flatMap(ask(dependencies, request, caller), (asked) =>
      Effect.flatMap(dependencies.dispatcher.start(asked, Http.origin(request, caller)), (running) =>
        QueryResponse.make(running, asked, request, dependencies.response)
      )
    )

/** `HEAD` of a query runs nothing: it gives the headers of its `GET` that are known without running it. */
const told =
  (dependencies: Dependencies): Handler =>
  (request, caller) =>
    Effect.map(gotten(dependencies, request, caller), (asked) =>
      HttpServerResponse.empty({ status: 200, headers: QueryResponse.headersOf(asked) })
    )

const find = Effect.fnUntraced(function* (
  { queries }: Dependencies,
  caller: Caller.Caller
): Effect.fn.Return<Entry, GatewayError.GatewayError, HttpRouter.RouteContext> {
  const { id = "" } = yield* HttpRouter.params
  const entry = yield* orFail(queries.find(id, yield* Clock.monotonicTimeNanos))
  if (Caller.owns(caller, entry.owner)) return entry
  // The answer must not reveal whether another caller has a query with this id.
  return yield* GatewayError.make("unknown_query", `There is no query with the id ${id}`)
})

const verdict = (entry: Entry, progress?: Progress): Effect.Effect<Response> =>
  Effect.map(Clock.monotonicTimeNanos, (nanos) => Http.json(entry.verdict(nanos, progress)))

/** The maximum length of a list of queries. */
const maxListed = 1000

/** The routes, each with its method and path. */
export const make = (dependencies: Dependencies) => {
  const route = <R>(method: "GET" | "POST" | "DELETE", path: `/${string}`, handler: Handler<R>) =>
    HttpRouter.route(method, path, authenticated(dependencies, handler))
  const read = run(dependencies, gotten)
  const tell = told(dependencies)
  return [
    route("POST", "/v1/query", run(dependencies, posted)),
    route("GET", "/v1/query", (request, caller) =>
      request.method === "HEAD" ? tell(request, caller) : read(request, caller)
    ),
    route(
      "GET",
      "/v1/queries",
      taking([], (_, caller) =>
        Effect.map(Clock.monotonicTimeNanos, (nanos) =>
          Http.json({
            queries: dependencies.queries.all
              .filter(({ isListed, owner }) => isListed && Caller.owns(caller, owner))
              .slice(-maxListed)
              .reverse()
              .map((entry) => entry.verdict(nanos))
          })
        )
      )
    ),
    route(
      "GET",
      "/v1/queries/:id",
      taking([], (_, caller) =>
        Effect.gen(function* () {
          const entry = yield* find(dependencies, caller)
          return yield* verdict(entry, yield* BackendProgress.of(entry))
        })
      )
    ),
    route(
      "DELETE",
      "/v1/queries/:id",
      taking([], (_, caller) =>
        Effect.gen(function* () {
          const entry = yield* find(dependencies, caller)
          yield* dependencies.dispatcher.cancel(entry)
          return yield* verdict(entry)
        })
      )
    )
  ] as const
}
