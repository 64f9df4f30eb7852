/**
 * Requests over HTTP that run nothing, and bodies that come compressed.
 */
import { once } from "node:events"
import { gzipSync, zstdCompressSync } from "node:zlib"
import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Poll from "../support/Poll.ts"
import * as Served from "./Served.ts"

const { fetched, sql } = Served

describe("a request", () => {
  layer(Served.layer(), { excludeTestServices: true })((it) => {
    it.effect("may come compressed, within the limit of a body", () =>
      Effect.gen(function* () {
        const { url } = yield* Served.Service
        const send = (encoding: string, body: Uint8Array<ArrayBuffer>) =>
          fetched(`${url}/v1/query?format=csv`, {
            ...sql("", { "content-encoding": encoding }),
            body
          })
        for (const [encoding, compress] of [
          ["gzip", gzipSync],
          ["zstd", zstdCompressSync]
        ] as const) {
          assert.strictEqual((yield* send(encoding, compress("rows 1"))).text.split("\r\n").length, 3)
          const long = yield* send(encoding, compress(Buffer.alloc(1_048_577, " ")))
          assert.deepInclude(long.json(), { status: 413, code: "too_large" })
          assert.strictEqual((yield* send(encoding, Buffer.from("rows 1"))).status, 400)
        }
        const unknown = yield* send("br", Buffer.from("rows 1"))
        assert.deepInclude(unknown.json(), { status: 415, code: "unsupported_encoding" })
        assert.strictEqual(unknown.headers.get("accept-encoding"), "zstd, gzip, identity")
      })
    )

    it.effect("is not run by HEAD, which has the headers that are known without", () =>
      Effect.gen(function* () {
        const { engine, url } = yield* Served.Service
        const before = engine.requests.length
        const head = yield* fetched(`${url}/v1/query?query=rows%201&format=csv`, { method: "HEAD" })
        assert.deepStrictEqual([head.status, head.headers.get("content-type")], [200, "text/csv"])
        assert.strictEqual(engine.requests.length, before)
      })
    )

    it.effect("of a client that goes at once keeps its address", () =>
      Effect.gen(function* () {
        const served = yield* Served.Service
        const id = (n: number) => `gone-${n}`
        yield* Effect.forEach(
          Array.from({ length: 20 }, (_, n) => n),
          (n) =>
            Effect.scoped(
              Effect.gen(function* () {
                const socket = yield* Served.dial(served, Served.post("rows 1", `?queryId=${id(n)}`))
                if (n % 2 === 0) socket.end()
                else socket.resetAndDestroy()
              })
            )
        )
        yield* Poll.until("all have ended", () => served.engine.begun() === served.engine.ended())
        const asked = served.engine.requests.filter(({ queryId }) => String(queryId).startsWith("gone-"))
        assert.isNotEmpty(asked)
        for (const { metadata } of asked) assert.deepStrictEqual(metadata, { "gateway.client": "127.0.0.1" })
      })
    )

    it.effect("is refused at once for what its head says", () =>
      Effect.gen(function* () {
        const served = yield* Served.Service
        const head = "POST /v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/sql\r\n"
        for (const [rest, status] of [
          ["Content-Length: 99999999999", 413],
          ["Content-Length: 99999999999\r\nExpect: 100-continue", 413],
          ["Host: other\r\nContent-Length: 8", 400]
        ] as const) {
          const socket = yield* Served.dial(served, `${head}${rest}\r\n\r\n`)
          const response = yield* Effect.promise(() => once(socket.resume(), "data"))
          assert.match(String(response), new RegExp(`^HTTP/1.1 ${status} `), rest)
        }
      })
    )

    it.effect("that makes no sense is refused before any back-end sees it", () =>
      Effect.gen(function* () {
        const { engine, url } = yield* Served.Service
        const before = engine.requests.length
        const json = (body: string) => ({
          method: "POST",
          headers: { "content-type": "application/json" },
          body
        })
        const wrong: ReadonlyArray<readonly [string, RequestInit | undefined, number, RegExp]> = [
          ["", json("{"), 400, /JSON/],
          ["", json("[]"), 400, /object/],
          ["", json('{"query":""}'), 400, /^query/],
          ["", json('{"query":"a","version":"v2"}'), 400, /^version/],
          ["", json('{"query":"a","timeoutMs":-1}'), 400, /^timeoutMs/],
          ["", json('{"query":"a","parameters":1}'), 400, /^parameters/],
          ["", json('{"query":"a","timeout_ms":1}'), 400, /^timeout_ms: .* timeoutMs/],
          ["", json('{"query":"a","timeout":1}'), 400, /^timeout: .* timeoutMs/],
          ["", json('{"query":"a","readonly":true}'), 400, /^readonly: .* readOnly/],
          ["", json('{"query":"a","timeoutMs":1e999}'), 400, /^timeoutMs: expected a finite number/],
          ["", json('{"query":"a","query":"b"}'), 400, /"query" occurs twice/],
          ["", json('{"query":"a","parameters":[1.0,{"a":1.10,"\\u0061":2}]}'), 400, /"a" occurs twice/],
          ["", json('{"query":"a","queryId":"a b"}'), 400, /^queryId: expected 1 to 128/],
          ["", json('{"query":"a","queryId":""}'), 400, /^queryId: expected 1 to 128/],
          ["", json('{"query":"a","queryId":"."}'), 400, /^queryId: .* not \. or \.\./],
          ["?queryId=..", sql("a"), 400, /^queryId: expected/],
          ["?traceparent=bad", sql("a"), 400, /^traceparent: expected/],
          [`?traceparent=00-${"0".repeat(32)}-00f067aa0ba902b7-01`, sql("a"), 400, /^traceparent: expected/],
          ["", json('{"query":"a","wait":"never"}'), 400, /^wait/],
          ["", json('{"query":"a","metadata":{"a":1}}'), 400, /^metadata: expected/],
          ["", json('{"query":"a","metadata":{"gateway.token":"root"}}'), 400, /^metadata: "gateway.token"/],
          ["?query=b", json('{"query":"a"}'), 400, /^query: given in the URL and/],
          ["", json(`{"query":"a","parameters":${"[".repeat(100)}${"]".repeat(100)}}`), 400, /maxNesting/],
          ["", json(`{"query":"${"a".repeat(300_000)}"}`), 400, /maxQueryLength/],
          ["", json(`{"query":"${"a".repeat(2_000_000)}"}`), 413, /httpMaxBodySize/],
          [
            "",
            { method: "POST", body: "rows 1", headers: { "content-type": "text/plain" } },
            415,
            /^Content-Type/
          ],
          ["", sql("rows 1", { "content-type": "application/sql; charset=latin-1" }), 415, /latin-1/],
          ["?query=SELECT+%FF", undefined, 400, /^query in the URL/],
          ["?query=a&param.%C3=1", undefined, 400, /^param.%C3 in the URL/],
          ["?query=a&param.a=100%", undefined, 400, /^param.a in the URL/],
          ["?typo=1", sql("rows 1"), 400, /^typo/],
          ["?wait=end&wait=end", sql("rows 1"), 400, /^wait/],
          ["?param.1=a&param.3=b", sql("rows 1"), 400, /^param/],
          ["?target=nowhere", sql("rows 1"), 404, /^target/],
          ["", undefined, 400, /^query/],
          ["", { method: "PUT" }, 405, /POST/],
          ["?query=a&typo=1", { method: "HEAD" }, 400, /^$/]
        ]
        for (const [search, init, status, detail] of wrong) {
          const answer = yield* fetched(`${url}/v1/query${search}`, init)
          assert.strictEqual(answer.status, status, answer.text)
          assert.match(answer.text === "" ? "" : String(answer.json()["detail"]), detail)
        }
        assert.strictEqual((yield* fetched(`${url}/v1/nothing`)).status, 404)
        assert.strictEqual((yield* fetched(`${url}/v1/queries/%zz`)).status, 400)
        const longest = yield* fetched(`${url}/v1/queries/${"a".repeat(128)}`)
        assert.deepInclude(longest.json(), { status: 404, code: "unknown_query" })
        assert.strictEqual(engine.requests.length, before)
      })
    )

    it.effect(
      "with a parameter that its route does not know is refused by its name, and so is one twice",
      () =>
        Effect.gen(function* () {
          const { url } = yield* Served.Service
          const paths = [
            "/v1/catalog",
            "/v1/targets",
            "/v1/queries",
            "/v1/queries/x",
            "/v1/stream",
            "/v1/query"
          ]
          for (const path of paths) {
            const { json, status } = yield* fetched(`${url}${path}?foo=1`)
            assert.strictEqual(status, 400, path)
            assert.match(String(json()["detail"]), /^foo: /, path)
          }
          const cancel = yield* fetched(`${url}/v1/queries/x?limit=3`, { method: "DELETE" })
          assert.match(String(cancel.json()["detail"]), /^limit: .* no parameters/)
          const twice = yield* fetched(`${url}/v1/catalog?target=main&target=main`)
          assert.match(String(twice.json()["detail"]), /^target: given twice/)
        })
    )

    it.effect("may accept nothing that has a name, and its trace goes on only if it is one", () =>
      Effect.gen(function* () {
        const { engine, url } = yield* Served.Service
        const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        for (const [traceparent, passed] of [
          [trace, trace],
          ["bad", undefined]
        ] as const) {
          const { status } = yield* fetched(`${url}/v1/query`, sql("rows 1", { accept: ",", traceparent }))
          assert.strictEqual(status, 200)
          assert.deepInclude(engine.requests.at(-1), { format: "application/json" })
          assert.strictEqual(engine.requests.at(-1)?.["traceparent"], passed)
        }
      })
    )
  })
})
