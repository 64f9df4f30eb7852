/**
 * `/v1/catalog` and `/v1/targets`.
 */
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import type { HttpServerResponse } from "effect/http/HttpServerResponse"
import type { Backends } from "./Backends.ts"
import * as Caller from "./Caller.ts"
import * as Catalog from "./Catalog.ts"
import type { Dispatcher } from "./Dispatcher.ts"
import * as GatewayError from "./GatewayError.ts"
import * as Http from "./Http.ts"
import * as QueryRoutes from "./QueryRoutes.ts"
import type { Routes } from "./Routes.ts"

export interface Dependencies extends Pick<QueryRoutes.Dependencies, "identify"> {
  readonly dispatcher: Dispatcher
  readonly backends: Backends
  readonly routes: Routes
}

/** The number of targets that are queried at a time. */
const concurrency = 4

export const make = ({ backends, dispatcher, identify, routes }: Dependencies) => {
  const reachable = (caller: Caller.Caller) => routes.targets.filter((name) => Caller.mayReach(caller, name))
  /** A route that accepts only these parameters. */
  const route = (
    path: `/${string}`,
    known: ReadonlyArray<string>,
    handler: (
      request: HttpServerRequest,
      caller: Caller.Caller
    ) => Effect.Effect<HttpServerResponse, GatewayError.GatewayError>
  ) =>
    HttpRouter.route("GET", path, QueryRoutes.authenticated({ identify }, QueryRoutes.taking(known, handler)))
  return [
    route("/v1/catalog", ["target"], (request, caller) =>
      Effect.gen(function* () {
        const wanted = Http.searchParams(request).get("target")
        const targets = wanted === null ? reachable(caller) : [wanted]
        if (wanted !== null && !reachable(caller).includes(wanted)) {
          return yield* GatewayError.make("unknown_target", `target: there is no ${wanted}`)
        }
        // Permitted formats concern the caller's results only.
        const origin = { ...Http.origin(request, { ...caller, formats: undefined }), isInternal: true }
        return Http.json({
          targets: yield* Effect.forEach(targets, (target) => Catalog.ofTarget(dispatcher, target, origin), {
            concurrency
          })
        })
      })
    ),
    route("/v1/targets", [], (_, caller) =>
      Effect.map(backends.observed, () =>
        Http.json({
          targets: reachable(caller).map((name) => ({
            name,
            backend: routes.backendOf(name),
            addresses: (backends.get(routes.backendOf(name) ?? "")?.instances ?? []).map(
              ({ address, inFlight, told }) => ({ address, state: told, inFlight })
            )
          }))
        })
      )
    )
  ] as const
}
