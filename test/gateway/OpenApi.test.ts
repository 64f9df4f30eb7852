/**
 * The OpenAPI document: it describes the routes that there are.
 */
import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Served from "./Served.ts"

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly responses: object }>>>>
}

describe("the OpenAPI document", () => {
  layer(Served.layer(), { excludeTestServices: true })((it) => {
    it.effect("has the routes of the gateway with their methods, and a page and its icon", () =>
      Effect.gen(function* () {
        const { url } = yield* Served.Service
        const { paths } = (yield* Served.fetched(`${url}/openapi.json`)).json() as unknown as Document
        assert.includeMembers(Object.keys(paths), [
          "/v1/query",
          "/v1/queries/{id}",
          "/v1/stream",
          "/v1/catalog"
        ])
        for (const [path, operations] of Object.entries(paths)) {
          const { headers, status } = yield* Served.fetched(`${url}${path.replace(/\{\w+\}/, "x")}`, {
            method: "PUT"
          })
          assert.strictEqual(status, 405, path)
          const allowed = (headers.get("allow") ?? "")
            .split(", ")
            .filter((name) => !/HEAD|OPTIONS/.test(name))
          assert.sameMembers(
            Object.keys(operations).map((name) => name.toUpperCase()),
            allowed,
            path
          )
        }
        assert.includeMembers(Object.keys(paths["/v1/query"]?.["post"]?.responses ?? {}), [
          "200",
          "404",
          "503"
        ])
        const icon = yield* Served.fetched(`${url}/favicon.ico?v=1`)
        assert.strictEqual(icon.status, 200)
        assert.match(icon.headers.get("content-type") ?? "", /^image\/svg\+xml/)
        assert.strictEqual(icon.text, (yield* Served.fetched(`${url}/icon.svg`)).text)
        for (const [path, method, status, allow] of [
          ["/icon.svg", "POST", 405, "GET, HEAD, OPTIONS"],
          ["/icon.svg", "OPTIONS", 204, "GET, HEAD, OPTIONS"],
          ["/none.svg", "POST", 404, null]
        ] as const) {
          const other = yield* Served.fetched(`${url}${path}`, { method })
          assert.deepStrictEqual([other.status, other.headers.get("allow")], [status, allow])
        }
        const page = yield* Served.fetched(`${url}/docs`)
        assert.match(page.headers.get("content-type") ?? "", /html/)
        for (const path of ["/docs", "/openapi.json"]) {
          const { headers } = yield* Served.fetched(`${url}${path}`)
          assert.strictEqual(headers.get("cache-control"), "no-cache")
          assert.strictEqual(headers.get("x-content-type-options"), "nosniff")
          const again = { headers: { "if-none-match": headers.get("etag") ?? "" } }
          assert.strictEqual((yield* Served.fetched(`${url}${path}`, again)).status, 304)
        }
        assert.match(page.headers.get("content-security-policy") ?? "", /script-src 'sha256-/)
        const metrics = yield* Served.fetched(`${url}/metrics`)
        assert.strictEqual(metrics.headers.get("cache-control"), "no-store")
        assert.notMatch(page.text, /<(script|link)[^>]+(src|href)="http/)
      })
    )
  })
})
