/**
 * `/openapi.json` and its page at `/docs`. Both are made when they are first asked for: the page is two megabytes.
 */
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"

const load = Effect.promise(() => import("./Api.ts"))

const spec = Effect.map(load, ({ document }) => HttpServerResponse.jsonUnsafe(document()))

/** Swagger's page, which loads nothing from elsewhere. */
const page = Effect.gen(function* () {
  const { api } = yield* load
  const HttpApiSwagger = yield* Effect.promise(() => import("effect/http-api/HttpApiSwagger"))
  const router = yield* HttpRouter.make
  const routes = HttpApiSwagger.layer(api, { path: "/docs" }).pipe(
    Layer.provide(Layer.succeed(HttpRouter.HttpRouter, router))
  )
  // It holds nothing that has to be given back.
  yield* Layer.buildWithScope(routes, yield* Scope.make())
  return router.asHttpEffect() as Effect.Effect<
    HttpServerResponse.HttpServerResponse,
    never,
    HttpServerRequest | Scope.Scope
  >
})

export const make = Effect.gen(function* () {
  const document = yield* Effect.cached(spec)
  const docs = yield* Effect.cached(page)
  return [
    HttpRouter.route("GET", "/openapi.json", document),
    HttpRouter.route("GET", "/docs", Effect.flatten(docs))
  ] as const
})
