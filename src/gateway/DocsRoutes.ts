/** `/openapi.json` and its page at `/docs`. Both are made at the first request: the page is two megabytes. */
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Pages from "./Pages.ts"

const load = Effect.promise(() => import("./Api.ts"))

const spec = Effect.map(load, ({ document }) =>
  Pages.kept(JSON.stringify(document()), { contentType: "application/json" })
)

/** Swagger's page, which loads nothing from other hosts. */
const page = Effect.gen(function* () {
  const { api } = yield* load
  const HttpApiSwagger = yield* Effect.promise(() => import("effect/http-api/HttpApiSwagger"))
  const router = yield* HttpRouter.make
  const routes = HttpApiSwagger.layer(api, { path: "/docs" }).pipe(
    Layer.provide(Layer.succeed(HttpRouter.HttpRouter, router))
  )
  // The scope holds no resources to release.
  yield* Layer.buildWithScope(routes, yield* Scope.make())
  const { body } = yield* Effect.orDie(router.asHttpEffect())
  const html = body._tag === "Uint8Array" ? new TextDecoder().decode(body.body) : ""
  const headers = Pages.headers(Pages.scriptsOf(html))
  return Pages.kept(html, { contentType: "text/html; charset=utf-8", headers })
})

/** Answers with the text made for the first request. */
const answered =
  <R>(made: Effect.Effect<ReturnType<typeof Pages.kept>, never, R>) =>
  (request: HttpServerRequest) =>
    Effect.map(made, (answer) => answer(request))

export const make = Effect.gen(function* () {
  const document = yield* Effect.cached(spec)
  const docs = yield* Effect.cached(page)
  return [
    HttpRouter.route("GET", "/openapi.json", answered(document)),
    HttpRouter.route("GET", "/docs", answered(docs))
  ] as const
})
