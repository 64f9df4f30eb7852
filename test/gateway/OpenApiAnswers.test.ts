/**
 * The OpenAPI document and the answers of the gateway agree.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import type * as GatewayConfig from "../../src/gateway/GatewayConfig.ts"
import * as OpenApiDocument from "./OpenApiDocument.ts"
import * as Raw from "./Raw.ts"
import * as Served from "./Served.ts"

const { fetched, sql } = Served

/** A gateway whose answers are held against its document. */
const judged = Effect.fnUntraced(function* (options: Partial<GatewayConfig.Options> = {}) {
  const served = yield* Served.make(options)
  const document = (yield* fetched(
    `${served.url}/openapi.json`
  )).json() as unknown as OpenApiDocument.Document
  const judge = (method: string, path: string, answer: Pick<Served.Answer, "headers" | "status" | "text">) =>
    assert.deepStrictEqual(
      OpenApiDocument.wrongWith(document, { method, path }, answer),
      [],
      `${method} ${path} ${answer.text}`
    )
  /** Asks a route; `rest` is what takes the place of its parameters, and its search. */
  const ask = (
    path: string,
    { init, rest = "" }: { readonly rest?: string; readonly init?: RequestInit } = {}
  ) =>
    Effect.map(fetched(`${served.url}${path.replace(/\/\{\w+\}/, "")}${rest}`, init), (answer) => {
      judge(init?.method ?? "GET", path, answer)
      return answer
    })
  return { ...served, document, judge, ask }
})

const bearer = { headers: { authorization: "Bearer nobody-knows-this" } }

const live = (name: string, test: Effect.Effect<void, unknown, import("effect/Scope").Scope>) =>
  it.live(name, () => Effect.provide(test, Logger.layer([])))

describe("the OpenAPI document", () => {
  live(
    "names the answers of each kind",
    Effect.gen(function* () {
      const { ask, document, engine, url } = yield* judged()
      const statuses: Array<number> = []
      const query = (query: string, search = "", headers: Record<string, string> = {}) =>
        Effect.map(
          ask("/v1/query", { rest: `?queryId=${statuses.length}${search}`, init: sql(query, headers) }),
          (answer) => {
            statuses.push(answer.status)
            return answer
          }
        )
      for (const format of ["json", "ndjson", "csv", "arrow", "parquet", "events"]) {
        yield* query("rows 1", `&format=${format}&receipt=true`)
      }
      yield* query("reject syntax_error")
      yield* query("reject not_found")
      yield* query("reject overloaded")
      yield* query("reject not_allowed")
      yield* query("reject internal")
      yield* query("conflict")
      yield* query("fail 1", "&wait=end")
      yield* query("die 1", "&wait=end")
      yield* query("silent", "&wait=end&timeoutMs=50")
      yield* query("rows 1", "&format=none")
      yield* query("rows 1", "", { "content-type": "text/plain" })
      yield* query(" ".repeat(1_048_577))
      yield* query("rows 1", "&queryId=a")
      assert.includeMembers(statuses, [200, 400, 403, 404, 406, 409, 413, 415, 422, 500, 503, 504])
      const listed = yield* ask("/v1/queries")
      assert.include(listed.text, '"position":3')
      for (const id of ["0", "6", "unknown", "main.00000000.0000000000000000"]) {
        yield* ask("/v1/queries/{id}", { rest: `/${id}` })
        yield* ask("/v1/queries/{id}", { rest: `/${id}`, init: { method: "DELETE" } })
      }
      const running = yield* Effect.forkChild(
        ask("/v1/query", { rest: "?queryId=runs&wait=end&progress=true", init: sql("silent") })
      )
      yield* Effect.repeat(Effect.sync(engine.begun), { until: (begun) => begun > engine.ended() })
      yield* ask("/v1/query", { rest: "?query=rows%201&queryId=runs" })
      yield* ask("/v1/queries/{id}", { rest: "/runs" })
      yield* ask("/v1/queries/{id}", { rest: "/runs", init: { method: "DELETE" } })
      assert.strictEqual((yield* Fiber.join(running)).status, 499)
      for (const path of ["/v1/catalog", "/v1/targets", "/healthz", "/readyz", "/metrics", "/v1/stream"]) {
        yield* ask(path)
      }
      // The gateway takes what the document says that it takes.
      const parameters = document.paths["/v1/query"]?.["get"]?.parameters ?? []
      for (const [name, good, ...wrong] of [
        ["query", "rows 1", ""],
        ["timeoutMs", "0.5", "-5", "0", "0.0", "Infinity", "x"],
        ["queryId", "a.b", "..", "a b", "", "a".repeat(129)],
        ["format", "csv", "cvs", ""],
        ["target", "main", "", "a".repeat(257)],
        ["conversation", "a", ""],
        ["receipt", "true", "1", ""],
        ["progress", "false", "no"],
        ["wait", "end", "begin"]
      ] as const) {
        const { schema = {} } = parameters.find((each) => each.name === name) ?? {}
        for (const value of [good, ...wrong]) {
          const search = new URLSearchParams({ query: "a", [name]: value })
          const { status } = yield* fetched(`${url}/v1/query?${search}`, { method: "HEAD" })
          const isTaken = OpenApiDocument.problemsOf(document, schema, value).length === 0
          assert.deepStrictEqual([isTaken, status === 200], [value === good, value === good], `${search}`)
        }
      }
      yield* ask("/v1/catalog", { rest: "?target=nowhere" })
      yield* ask("/v1/catalog", { rest: "?unknown=1" })
    })
  )

  live(
    "names the refusals that each route may give",
    Effect.gen(function* () {
      const { address, document, judge, url } = yield* judged({ httpRequestTimeout: "200 millis" })
      const line = (lines: string) => `${lines}\r\nConnection: close`
      const routes = Object.entries(document.paths).flatMap(([path, operations]) =>
        Object.keys(operations).map((name) => [name.toUpperCase(), path] as const)
      )
      // One of them is refused when time is over.
      const refuse = Effect.fnUntraced(function* ([method, path]: readonly [string, string]) {
        const at = path.replace(/\{\w+\}/, "x")
        const first = `${method} ${at}`
        const requests = {
          400: `${first} HTTP/1.1\r\nConnection: close\r\n\r\n`,
          408: `${first} HTTP/1.1\r\n`,
          417: Raw.head(first, line("Expect: banana")),
          431: Raw.head(first, `a: ${"a".repeat(20_000)}`),
          421: Raw.head(first, "Connection: close").replace("localhost", "evil.example"),
          501: Raw.head(first, "Transfer-Encoding: gzip, chunked", "", "0")
        }
        for (const [status, request] of Object.entries(requests)) {
          const [answer] = yield* Raw.asked({ address }, request)
          assert.strictEqual(answer?.status, Number(status), `${first} ${answer?.body}`)
          judge(method, path, {
            status: Number(status),
            headers: new Headers(answer?.headers),
            text: answer?.body ?? ""
          })
        }
        const wrong = yield* fetched(`${url}${at}`, { method: "PUT" })
        assert.strictEqual(wrong.status, 405)
        judge(method, path, wrong)
      })
      yield* Effect.forEach(routes, refuse, { concurrency: 4, discard: true })
    })
  )

  live(
    "names the refusals of strangers, and what it is without a back-end",
    Effect.gen(function* () {
      const { ask, document } = yield* judged({
        httpTokens: () => ({ tokens: [{ name: "a", token: "a".repeat(16) }] }),
        backends: { main: ["127.0.0.1:1"] }
      })
      const guarded = [
        "/v1/query",
        "/v1/queries",
        "/v1/queries/{id}",
        "/v1/catalog",
        "/v1/targets",
        "/v1/stream"
      ]
      for (const [path, operations] of Object.entries(document.paths)) {
        for (const [method, { security }] of Object.entries(operations)) {
          const init = { ...bearer, method: method.toUpperCase() }
          const { status } = yield* ask(path, { rest: path.endsWith("}") ? "/x" : "", init })
          assert.deepStrictEqual(security, status === 401 ? [{ bearer: [] }, {}] : [], path)
          assert.strictEqual(status === 401, [...guarded, "/metrics"].includes(path), path)
        }
      }
      const page = { headers: { authorization: `Bearer ${"a".repeat(16)}`, referer: "http://evil.example/" } }
      for (const path of guarded) {
        const { status } = yield* ask(path, { rest: path.endsWith("}") ? "/x" : "", init: page })
        assert.strictEqual(status, 403, path)
      }
      const friend = { headers: { authorization: `Bearer ${"a".repeat(16)}` } }
      assert.strictEqual((yield* ask("/metrics", { init: friend })).status, 403)
      assert.strictEqual((yield* ask("/readyz")).status, 503)
      assert.strictEqual((yield* ask("/v1/query", { rest: "?query=a", init: friend })).status, 503)
      assert.include((yield* ask("/v1/catalog", { init: friend })).text, '"error"')
    })
  )
})
