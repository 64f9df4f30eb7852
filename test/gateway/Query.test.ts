/**
 * Queries over HTTP: what is asked, what comes back, and how a failure is seen.
 */
import { once } from "node:events"
import { text } from "node:stream/consumers"
import { gunzipSync, zstdDecompressSync } from "node:zlib"
import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { isLong } from "../support/Long.ts"
import * as Poll from "../support/Poll.ts"
import * as Served from "./Served.ts"

const { curl, fetched, sql } = Served

// biome-ignore lint/suspicious/noExplicitAny: what tests look into
type Any = any

/** The records of `format=events`. */
const records = (text: string): ReadonlyArray<Record<string, Any>> =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line))

const statuses = [
  ["syntax_error", 400],
  ["bad_request", 400],
  ["not_allowed", 403],
  ["not_found", 404],
  ["too_large", 413],
  ["overloaded", 503],
  ["timeout", 504],
  ["internal", 500]
] as const

describe("a query over HTTP", () => {
  layer(Served.layer(), { excludeTestServices: true })((it) => {
    it.effect("is the SQL of a POST, or the v1 request, or in the URL of a GET", () =>
      Effect.gen(function* () {
        const { engine, url } = yield* Served.Service
        const asked = { format: "application/x-ndjson", query: "echo it", timeoutMs: 5000 }
        const inUrl = "format=ndjson&timeoutMs=5000&param.a=1&param.b=it's"
        yield* fetched(`${url}/v1/query?${inUrl}`, sql("echo it"))
        yield* fetched(`${url}/v1/query?query=echo%20it&${inUrl}`)
        yield* fetched(`${url}/v1/query`, {
          method: "POST",
          headers: { "content-type": "application/json; charset=utf-8", accept: "application/x-ndjson" },
          body: JSON.stringify({
            ...asked,
            format: undefined,
            parameters: { a: 1, b: "it's" },
            later: [1],
            metadata: { user: "ada" }
            // However a number is written.
          }).replace("5000", "5e3")
        })
        const [posted, gotten, json] = engine.requests.slice(-3)
        for (const request of [posted, gotten, json]) {
          assert.deepInclude(request, { ...asked, version: "v1", parameters: { a: 1, b: "it's" } })
        }
        // Who asks is told by the client, and by the gateway.
        assert.deepStrictEqual(gotten?.["metadata"], { "gateway.client": "127.0.0.1" })
        assert.deepStrictEqual(json?.["metadata"], { user: "ada", "gateway.client": "127.0.0.1" })
        // A field that the gateway does not know is the back-end's.
        assert.deepStrictEqual(json?.["later"], [1])
        // Only a GET promises to change nothing.
        assert.deepStrictEqual([posted?.["readOnly"], gotten?.["readOnly"]], [undefined, true])
      })
    )

    it.effect("keeps the digits of numbers on their way", () =>
      Effect.gen(function* () {
        const { engine, url } = yield* Served.Service
        const bodies: Array<string> = []
        const init = engine.engine.init
        Object.assign(engine.engine, {
          init: (body: Uint8Array) => {
            bodies.push(new TextDecoder().decode(body))
            return init(body)
          }
        })
        yield* Effect.addFinalizer(() => Effect.sync(() => Object.assign(engine.engine, { init })))
        const numbers = ["12345678901234567890", "0.1e400", "1.10", "1.0", "-0", "-0.0", "0.0000001", "0.1"]
        for (const number of numbers) {
          const body = `{"query":"echo","parameters":[${number}]}`
          yield* fetched(`${url}/v1/query`, {
            method: "POST",
            headers: { "content-type": "application/json" },
            body
          })
          yield* fetched(`${url}/v1/query?query=echo&param.1=${number}`)
        }
        assert.deepStrictEqual(
          bodies.map((body) => /"parameters":\[(.*?)\]/.exec(body)?.[1]),
          // A URL has exact numbers only; the others are texts, as in `dataconn query --param`.
          numbers.flatMap((number) => [number, /e|-0/.test(number) ? `"${number}"` : number])
        )
        bodies.length = 0
        for (const text of ["%205", "null%20", "true%0A", `0.${"1".repeat(39)}`, `0.${"1".repeat(38)}`]) {
          yield* fetched(`${url}/v1/query?query=echo&param.1=${text}`)
        }
        assert.deepStrictEqual(
          bodies.map((body) => /"parameters":\[(.*?)\]/.exec(body)?.[1]),
          ['" 5"', '"null "', '"true\\n"', `"0.${"1".repeat(39)}"`, `0.${"1".repeat(38)}`]
        )
      })
    )

    it.effect("has parameters in its URL that name their types", () =>
      Effect.gen(function* () {
        const { engine, url } = yield* Served.Service
        yield* fetched(
          `${url}/v1/query?query=echo&param.a:double=7&param.b:text=7&param.c=7&param.d:blob=hex:00`
        )
        const request = engine.requests.at(-1)
        assert.deepStrictEqual(request?.["parameters"], { a: 7, b: "7", c: 7, d: "AA==" })
        assert.deepStrictEqual(request?.["parameterTypes"], { a: "double", d: "blob" })
        for (const wrong of ["param.a:int=x", "param.a:what=1", "param.a:=1", "param.a=1&param.a:int=1"]) {
          const { status, text } = yield* fetched(`${url}/v1/query?query=echo&${wrong}`)
          assert.strictEqual(status, 400, wrong)
          assert.include(text, "param.a: ")
        }
      })
    )

    it.effect("comes in the format that is asked for, whole", () =>
      Effect.gen(function* () {
        const { url } = yield* Served.Service
        const json = yield* fetched(`${url}/v1/query`, sql("rows 3000"))
        assert.strictEqual(json.status, 200)
        assert.strictEqual(json.headers.get("content-type"), "application/json")
        assert.strictEqual(JSON.parse(json.text).length, 3000)
        assert.match(json.headers.get("x-dataconn-query-id") ?? "", /^main\./)
        assert.deepStrictEqual(JSON.parse(json.headers.get("x-dataconn-columns") ?? "")[0], {
          name: "n",
          type: "INTEGER"
        })
        const csv = yield* fetched(
          `${url}/v1/query`,
          sql("rows 2", { accept: "text/html, text/*;q=0.5, */*;q=0.1" })
        )
        assert.strictEqual(csv.headers.get("content-type"), "text/csv")
        assert.strictEqual(csv.text.split("\r\n").length, 4)
        const named = yield* fetched(`${url}/v1/query?format=ndjson`, sql("rows 2", { accept: "text/csv" }))
        assert.strictEqual(named.headers.get("content-type"), "application/x-ndjson")
        const none = yield* fetched(`${url}/v1/query`, sql("rows 2", { accept: "image/png" }))
        assert.strictEqual(none.status, 406)
        const unknown = yield* fetched(`${url}/v1/query?format=xml`, sql("rows 2"))
        assert.strictEqual(unknown.status, 406)
        assert.match(String(unknown.json()["detail"]), /ndjson/)
      })
    )

    it.effect("is compressed as the client accepts, streamed and whole", () =>
      Effect.gen(function* () {
        const { url } = yield* Served.Service
        const plain = yield* fetched(
          `${url}/v1/query?format=csv`,
          sql("rows 3000", { "accept-encoding": "identity" })
        )
        assert.isNull(plain.headers.get("content-encoding"))
        for (const [encoding, decompress] of [
          ["gzip", gunzipSync],
          ["zstd", zstdDecompressSync]
        ] as const) {
          for (const wait of ["", "&wait=end"]) {
            const args = [
              "-XPOST",
              `${url}/v1/query?format=csv${wait}`,
              "-H",
              "content-type: application/sql"
            ]
            const accepted = encoding === "gzip" ? "zstd;q=0, br, gzip" : "gzip;q=0.5, zstd"
            const got = yield* curl(...args, "-d", "rows 3000", "-H", `accept-encoding: ${accepted}`)
            assert.strictEqual(got.code, 0)
            assert.strictEqual(String(decompress(Buffer.from(got.stdout, "latin1"))), plain.text)
          }
        }
      })
    )

    it.effect("that is rejected has a true status, and says why", () =>
      Effect.gen(function* () {
        const { url } = yield* Served.Service
        for (const [code, status] of statuses) {
          const { headers, json, status: given } = yield* fetched(`${url}/v1/query`, sql(`reject ${code}`))
          assert.strictEqual(given, status, code)
          assert.strictEqual(headers.get("content-type"), "application/problem+json")
          assert.deepInclude(json(), { status, code, detail: "rejected", position: 3 })
          assert.strictEqual(headers.get("retry-after") !== null, status === 503)
        }
      })
    )

    it.effect("that fails late is seen as a failure by curl and fetch, in each format and compression", () =>
      Effect.gen(function* () {
        const { url } = yield* Served.Service
        const encodings = [[], ["--compressed"], ["-H", "accept-encoding: zstd"]]
        for (const [index, format] of ["json", "ndjson", "csv", "arrow", "parquet"].entries()) {
          // Each of them once with some of the formats, unless there is time for all.
          for (const flags of isLong ? encodings : encodings.slice(index % 3, (index % 3) + 1)) {
            const at = `${url}/v1/query?format=${format}`
            const got = yield* curl(
              "-XPOST",
              at,
              "-H",
              "content-type: application/sql",
              "-d",
              "fail 100000",
              ...flags
            )
            assert.strictEqual(got.code, 18, `${format} ${flags}`)
          }
          const exit = yield* Effect.exit(fetched(`${url}/v1/query?format=${format}`, sql("die 100000")))
          assert.isTrue(Exit.isFailure(exit), format)
        }
        // It ends within a chunk: clients may overlook an end between two.
        const socket = yield* Served.dial(yield* Served.Service, Served.post("silent", "?queryId=open"))
        yield* Effect.promise(() => once(socket, "readable"))
        yield* fetched(`${url}/v1/queries/open`, { method: "DELETE" })
        assert.match(yield* Effect.promise(() => text(socket)), /\r\n1\r\n\[\r\n1\r\n$/)
        // The length of its body is that of the connection.
        const old = yield* curl(
          "-0",
          "-XPOST",
          `${url}/v1/query`,
          "-H",
          "content-type: application/sql",
          "-d",
          "fail 100000"
        )
        assert.strictEqual(old.code, 56)
      })
    )

    it.effect(
      "that fails has a true status if the client waits for its end, and fails before its first byte",
      () =>
        Effect.gen(function* () {
          const { url } = yield* Served.Service
          const early = yield* fetched(`${url}/v1/query?format=ndjson`, sql("fail 0"))
          assert.deepInclude(early.json(), { status: 422, code: "execution_failed" })
          const conflict = yield* fetched(`${url}/v1/query`, sql("conflict"))
          assert.deepInclude(conflict.json(), { status: 409, code: "execution_failed", retryable: true })
          const waited = yield* fetched(`${url}/v1/query?wait=end`, sql("fail 1000"))
          assert.deepInclude(waited.json(), {
            status: 422,
            code: "execution_failed",
            detail: "Division by zero"
          })
          assert.strictEqual(waited.json()["queryId"], waited.headers.get("x-dataconn-query-id"))
          const whole = yield* fetched(
            `${url}/v1/query?wait=end`,
            sql("rows 1000", { "accept-encoding": "identity" })
          )
          assert.strictEqual(Number(whole.headers.get("content-length")), whole.text.length)
          // More than is held back.
          const large = yield* Effect.exit(fetched(`${url}/v1/query?wait=end`, sql("fail 100000")))
          assert.isTrue(Exit.isFailure(large))
          assert.strictEqual(
            JSON.parse((yield* fetched(`${url}/v1/query?wait=end`, sql("rows 30000"))).text).length,
            30_000
          )
        })
    )

    it.effect("tells its events: columns, rows, and one end or error", () =>
      Effect.gen(function* () {
        const { url } = yield* Served.Service
        const whole = yield* fetched(`${url}/v1/query?format=events`, sql("rows 3000"))
        const all = records(whole.text)
        assert.strictEqual(all[0]?.["type"], "columns")
        assert.strictEqual(all[0]?.["columns"].length, 2)
        const rows = all.flatMap((record) => (record["type"] === "rows" ? record["rows"] : []))
        assert.deepStrictEqual(
          rows.map(({ n }) => n),
          Array.from({ length: 3000 }, (_, n) => n)
        )
        assert.strictEqual(all.at(-1)?.["type"], "end")
        assert.deepInclude(all.at(-1)?.["receipt"], {
          rows: 3000,
          queryId: whole.headers.get("x-dataconn-query-id")
        })
        const failed = records((yield* fetched(`${url}/v1/query?format=events`, sql("fail 1000"))).text)
        assert.deepInclude(failed.at(-1)?.["error"], {
          code: "execution_failed",
          message: "Division by zero"
        })
        assert.strictEqual(failed.filter(({ type }) => type === "end" || type === "error").length, 1)
        assert.strictEqual(
          (yield* fetched(`${url}/v1/query?format=events`, sql("reject not_found"))).status,
          404
        )
      })
    )

    it.effect("leaves a verdict, and is cancelled by its id", () =>
      Effect.gen(function* () {
        const { engine, url } = yield* Served.Service
        const done = yield* fetched(`${url}/v1/query?queryId=mine&format=csv`, sql("rows 10"))
        const verdict = (yield* fetched(`${url}/v1/queries/mine`)).json()
        assert.deepInclude(verdict, {
          queryId: "mine",
          state: "complete",
          target: "main",
          bytes: done.text.length
        })
        yield* Effect.exit(fetched(`${url}/v1/query?queryId=broken&format=csv`, sql("fail 100000")))
        const broken = (yield* fetched(`${url}/v1/queries/broken`)).json()
        assert.strictEqual(broken["state"], "failed")
        assert.deepInclude(broken["error"], { code: "execution_failed" })

        for (const query of ["silent", "stuck", "endless"]) {
          const ended = engine.ended()
          const running = yield* Effect.forkChild(
            fetched(`${url}/v1/query?queryId=${query}&format=events`, sql(query))
          )
          yield* Poll.until("the query runs", () => engine.begun() > ended)
          assert.deepInclude((yield* fetched(`${url}/v1/queries/${query}`)).json(), { state: "running" })
          const twice = yield* fetched(`${url}/v1/query?queryId=${query}`, sql("rows 1"))
          assert.strictEqual(twice.status, 409)
          const cancelled = (yield* fetched(`${url}/v1/queries/${query}`, { method: "DELETE" })).json()
          assert.strictEqual(cancelled["state"], "cancelled")
          // It has ended at its back-end by then.
          assert.strictEqual(engine.ended(), engine.begun())
          const answer = yield* Fiber.join(running)
          assert.deepStrictEqual(
            [answer.status, answer.statusText],
            query === "stuck" ? [499, "Client Closed Request"] : [200, "OK"]
          )
          // The records, or the problem of a query that was not accepted.
          assert.deepInclude(records(answer.text).at(-1)?.["error"] ?? answer.json(), { code: "cancelled" })
        }
        const listed = (yield* fetched(`${url}/v1/queries`)).json()["queries"] as ReadonlyArray<{
          queryId: string
        }>
        assert.includeMembers(
          listed.map(({ queryId }) => queryId),
          ["mine", "broken", "silent", "stuck", "endless"]
        )
        assert.strictEqual((yield* fetched(`${url}/v1/queries/none`)).status, 404)
        assert.strictEqual((yield* fetched(`${url}/v1/queries/main.00000000.0000000000000000`)).status, 410)
      })
    )

    it.effect("whose client goes away is cancelled, whatever it was doing", () =>
      Effect.gen(function* () {
        const served = yield* Served.Service
        const { engine } = served
        for (const query of ["silent", "stuck", "endless"]) {
          for (const search of ["", "?format=events", "?wait=end"]) {
            const begun = engine.begun()
            yield* Effect.scoped(
              Effect.andThen(
                Served.dial(served, Served.post(query, search)),
                Poll.until("the query runs", () => engine.begun() > begun)
              )
            )
            yield* Poll.until("the query has ended", () => engine.ended() === engine.begun())
          }
        }
        yield* Poll.until("nothing is left", () => Effect.runSync(served.gateway.queries) === 0)
      })
    )

    it.effect("goes no further than its client reads", () =>
      Effect.gen(function* () {
        const served = yield* Served.Service
        const { engine } = served
        for (const search of ["?format=csv", "?format=events"]) {
          const before = engine.made()
          const socket = yield* Served.dial(served, Served.post("endless", search))
          let last = -1
          let still = 0
          yield* Poll.until("the query waits for its client", () => {
            const made = engine.made() - before
            still = made > 0 && made === last ? still + 1 : 0
            last = made
            return still === 20
          })
          // Most of it is in the buffers of the kernel's four sockets.
          assert.isBelow(last * 90, 64 * 1024 * 1024)
          const held = engine.made()
          let read = 0
          socket.on("data", (chunk) => (read += chunk.length))
          socket.resume()
          yield* Poll.until("the query goes on", () => engine.made() > held + 100_000 && read > 9_000_000)
          socket.destroy()
        }
        yield* Poll.until("the queries have ended", () => engine.ended() === engine.begun())
      })
    )
  })
})
