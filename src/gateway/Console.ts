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

/**
 * In the package, relative to any folder beside this one; from the sources, where the package is built.
 * `undefined` where this module is in a bundle, which has no such folder.
 */
const folder = (from: string | undefined = import.meta.url): string | undefined => {
  const [, extension] = /\/Console(\.[jt]s)$/.exec(from ?? "") ?? []
  if (extension === undefined) return undefined
  return fileURLToPath(
    new URL(extension === ".ts" ? "../../.cache/gateway/console/" : "../gateway/console/", from)
  )
}

/** The kinds of files that are served. */
const sent = /\/$|\.(?:html|js|css|svg)$/

/** Browsers request an icon by this name if a page names none, as on `/docs` and for answers of the API. */
const icon = { path: "/favicon.ico", file: "/icon.svg" }

const notFound = (path: string): GatewayError.GatewayError =>
  GatewayError.make(
    "no_route",
    path === "/"
      ? "The console is not here: npm run build:console makes it, and dataconn must stay external to a bundle. The API is there without it: /v1/query"
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
  const root = folder()
  const files =
    root === undefined ? undefined : yield* HttpStaticServer.make({ root, cacheControl: "no-cache" })
  return Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const path = request.url.replace(/[?#].*$/, "")
    if (files === undefined) return yield* notFound(path)
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
