/** The files of the console, bundled by `npm run build:console`. */
import { fileURLToPath } from "node:url"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as HttpStaticServer from "effect/http/HttpStaticServer"
import * as GatewayError from "./GatewayError.ts"
import * as Pages from "./Pages.ts"

const headers = Pages.headers()

/** In the package, relative to any folder beside this one; from the sources, where the package is built. */
const folder = fileURLToPath(
  new URL(
    import.meta.url.endsWith(".ts") ? "../../.cache/gateway/console/" : "../gateway/console/",
    import.meta.url
  )
)

/** The kinds of files that are served. */
const sent = /\/$|\.(?:html|js|css|svg)$/

/** Browsers request an icon by this name if a page names none, as on `/docs` and for answers of the API. */
const icon = { path: "/favicon.ico", file: "/icon.svg" }

const notFound = (path: string): GatewayError.GatewayError =>
  GatewayError.make(
    "no_route",
    path === "/"
      ? "The console has not been built: npm run build:console. The API is there without it: /v1/query"
      : `There is nothing at ${path}`
  )

/** Answers with a file of the console. */
export const make: Effect.Effect<
  Effect.Effect<
    HttpServerResponse.HttpServerResponse,
    GatewayError.GatewayError,
    HttpServerRequest.HttpServerRequest
  >
> = Effect.gen(function* () {
  const files = yield* HttpStaticServer.make({ root: folder, cacheControl: "no-cache" })
  return Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const path = request.url.replace(/[?#].*$/, "")
    const url = path === icon.path ? icon.file : request.url
    if (!sent.test(url.replace(/[?#].*$/, ""))) return yield* notFound(path)
    const file = Effect.provideService(
      files,
      HttpServerRequest.HttpServerRequest,
      url === request.url ? request : request.modify({ url })
    )
    return HttpServerResponse.setHeaders(yield* Effect.mapError(file, () => notFound(path)), headers)
  })
}).pipe(Effect.provide(NodeHttpServer.layerHttpServices), Effect.orDie)
