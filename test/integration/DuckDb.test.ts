/**
 * The server on the real engine, over real sockets.
 */
import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Limits from "../../src/engine/Limits.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import type * as ServerConfig from "../../src/server/ServerConfig.ts"
import * as DuckDbEngines from "../support/DuckDbEngines.ts"
import * as Folder from "../support/Folder.ts"
import * as LiveServer from "../support/LiveServer.ts"
import type * as Peer from "../support/Peer.ts"
import * as Response from "../support/Response.ts"

/** A query that computes for hours and has nothing to say until then. */
const silent = "SELECT sum(a.range * b.range) AS s FROM range(10000000) AS a, range(10000000) AS b"

/** DuckDB folds the constant when it prepares the statement, which takes some seconds. */
const unpreparable = "SELECT repeat('a', 10000) GLOB (repeat('*a', 2000) || 'b')"

const request = (query: string, more: Record<string, unknown> = {}): string =>
  JSON.stringify({ version: "v1", query, ...more })

const start = Effect.fnUntraced(function* (config: ServerConfig.Options = {}, limits: Limits.Options = {}) {
  const engine = yield* DuckDbEngines.make({ sample: true, threads: 2, ...limits })
  const live = yield* LiveServer.start(engine, config)
  return { live, peer: yield* LiveServer.connect(live.address) }
})

const json = (peer: Peer.Peer, query: string, more?: Record<string, unknown>) =>
  Effect.map(Response.result(peer, request(query, more)), (text): unknown => JSON.parse(text))

const error = (end: string) => {
  const { code, message } = QueryApi.decodeError(Buffer.from(end.slice(2)))
  return { letter: end.slice(0, 1), code, message }
}

describe("the sample tables", () => {
  it.live("are answered in every text format", () =>
    Effect.gen(function* () {
      const { peer } = yield* start()
      const query = "SELECT count(*) AS n, min(symbol) AS first FROM trades"
      assert.deepStrictEqual(yield* json(peer, query), [{ n: 100_000, first: "ABC" }])
      const as = (format: QueryApi.Format) => Response.result(peer, request(query, { format }))
      assert.strictEqual(yield* as("application/x-ndjson"), `{"n":100000,"first":"ABC"}\n`)
      assert.match(yield* as("text/csv"), /^n,first\r?\n100000,ABC\r?\n$/)
    })
  )

  it.live("stream whole, in chunks of at most chunkSize", () =>
    Effect.gen(function* () {
      const { peer, live } = yield* start({ chunkSize: 4096 })
      yield* peer.request(request("FROM trades", { format: "application/x-ndjson" }))
      assert.match(yield* peer.next, /^A /)
      let text = ""
      let shown = ""
      while (!shown.startsWith("F")) {
        shown = yield* peer.next
        assert.isAtMost(shown.length - 2, 4096)
        text += shown.slice(2)
      }
      const rows = text.trimEnd().split("\n")
      assert.strictEqual(rows.length, 100_000)
      assert.strictEqual(JSON.parse(rows[99_999] ?? "").symbol.length, 3)
      const { query } = yield* live.event("Completed")
      assert.strictEqual(query.payloadBytesTransferred, text.length)
    })
  )

  it.live("take parameters", () =>
    Effect.gen(function* () {
      const { peer } = yield* start()
      assert.deepStrictEqual(
        yield* json(peer, "SELECT ?::INTEGER + 1 AS n, ? AS s", { parameters: [41, "it's"] }),
        [{ n: 42, s: "it's" }]
      )
    })
  )
})

describe("a query that cannot be answered", () => {
  it.live("is rejected or fails by its own code, and the connection goes on", () =>
    Effect.gen(function* () {
      const { peer } = yield* start()
      const ends = Effect.fnUntraced(function* (body: string) {
        yield* peer.request(body)
        const { code, letter } = error((yield* Response.take(peer)).end)
        return `${letter} ${code}`
      })
      assert.strictEqual(yield* ends("not JSON"), "J bad_request")
      assert.strictEqual(yield* ends(`{"version":"v2","query":"SELECT 1"}`), "J unsupported_version")
      assert.strictEqual(yield* ends(request("SELEKT 1")), "J syntax_error")
      assert.strictEqual(yield* ends(request("SELECT * FROM nowhere")), "J not_found")
      assert.strictEqual(yield* ends(request("CREATE TABLE t (a INTEGER)")), "J not_allowed")
      assert.strictEqual(
        yield* ends(request("FROM read_csv('/etc/passwd')")).pipe(Effect.map((s) => s.slice(0, 1))),
        "J"
      )
      assert.strictEqual(
        yield* ends(
          request("SELECT CASE WHEN range > 4000000 THEN error('late') ELSE 'x' END AS a FROM range(5000000)")
        ),
        "E execution_failed"
      )
      assert.deepStrictEqual(yield* json(peer, "SELECT 1 AS a"), [{ a: 1 }])
    })
  )
})

describe("a request or result beyond a limit", () => {
  const limits = {
    maxQueryLength: 2000,
    maxParameters: 1000,
    maxNesting: 8,
    maxColumns: 50,
    maxResultRows: 100,
    maxResultBytes: 20_000,
    maxRowSize: 10_000
  }
  const nested = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`

  it.live("gets an error that names the limit, and the connection goes on", () =>
    Effect.gen(function* () {
      const { peer } = yield* start({}, limits)
      for (const [limit, letter, body] of [
        ["maxQueryLength", "J", request(`SELECT '${"x".repeat(2000)}'`)],
        ["maxParameters", "J", request("SELECT ?", { parameters: [Array(2000).fill(1)] })],
        ["maxNesting", "J", `{"version":"v1","query":"SELECT ?","parameters":${nested(9)}}`],
        ["maxNesting", "J", "[".repeat(1_000_000)],
        ["maxNesting", "J", request(`SELECT ${nested(9)}`)],
        ["maxColumns", "J", request(`SELECT ${Array(51).fill("1").join()}`)],
        ["maxResultRows", "E", request("FROM range(101)")],
        ["maxResultBytes", "E", request("SELECT repeat('x', 500) FROM range(50)")],
        ["maxRowSize", "E", request("SELECT repeat('x', 10001)")]
      ] as const) {
        yield* peer.request(body)
        const end = error((yield* Response.take(peer)).end)
        assert.strictEqual(end.letter, letter, limit)
        assert.include(end.message, limit)
      }
      assert.deepStrictEqual(yield* json(peer, "SELECT 1 AS a"), [{ a: 1 }])
    })
  )

  it.live("is told of in at most 4 KiB, whatever the query quotes", () =>
    Effect.gen(function* () {
      const { peer } = yield* start()
      for (const query of [
        `SELECT 1 FROM ${"x".repeat(100_000)}`,
        "SELECT error(repeat('x', 3000000) || i) FROM range(10) AS r(i)",
        "SELECT (repeat('\"\\', 3000000) || i)::INTEGER FROM range(10) AS r(i)"
      ]) {
        yield* peer.request(request(query))
        const { end } = yield* Response.take(peer)
        const { message } = error(end)
        assert.isAtMost(Buffer.byteLength(message), 4096)
        assert.isTrue(message.endsWith("…"))
        assert.notInclude(message, "exception_type")
      }
    })
  )
})

describe("a query that computes in silence", () => {
  it.live("is cancelled within a bounded time, again and again", () =>
    Effect.gen(function* () {
      const { peer } = yield* start()
      for (let i = 0; i < 3; i++) {
        yield* peer.request(request(silent))
        assert.match(yield* peer.next, /^A /)
        yield* peer.cancel
        const { end } = yield* Effect.timeout(Response.take(peer), "5 seconds")
        assert.strictEqual(end, "K")
        assert.deepStrictEqual(yield* json(peer, "SELECT 1 AS a"), [{ a: 1 }])
      }
    })
  )

  it.live("gets heartbeats in the meantime, and others are served", () =>
    Effect.gen(function* () {
      const { peer, live } = yield* start({ heartbeatInterval: "50 millis" })
      yield* peer.request(request(silent))
      const other = yield* LiveServer.connect(live.address)
      assert.deepStrictEqual(yield* json(other, "SELECT 1 AS a"), [{ a: 1 }])
      const letters = (yield* peer.take(5)).map((shown) => shown.slice(0, 1))
      assert.deepStrictEqual(letters.sort(), ["A", "H", "H", "H", "H"])
      yield* peer.cancel
      assert.strictEqual((yield* Response.take(peer)).end, "K")
    })
  )

  it.live("ends with an error at its own timeoutMs, or the server's queryTimeout", () =>
    Effect.gen(function* () {
      const { peer, live } = yield* start({ queryTimeout: "300 millis" })
      for (const more of [{ timeoutMs: 50 }, {}, { timeoutMs: 3_600_000 }]) {
        yield* peer.request(request(silent, more))
        const { end } = yield* Response.take(peer)
        assert.strictEqual(error(end).letter, "E")
        assert.strictEqual(error(end).code, "timeout")
      }
      assert.deepStrictEqual(yield* json(peer, "SELECT 1 AS a"), [{ a: 1 }])
      assert.strictEqual(live.events.filter(({ _tag }) => _tag === "Failed").length, 3)
    })
  )

  it.live("ends with its connection", () =>
    Effect.gen(function* () {
      const { peer, live } = yield* start({ maxConcurrentQueries: 1, maxQueuedQueries: 1 })
      yield* peer.request(request(silent))
      assert.match(yield* peer.next, /^A /)
      yield* peer.close
      yield* live.event("Aborted")
      const next = yield* LiveServer.connect(live.address)
      // There is one permit: this one runs only when the other has really ended.
      assert.deepStrictEqual(yield* json(next, "SELECT 1 AS a"), [{ a: 1 }])
    })
  )
})

describe("a request that is too long, or prepared for too long", () => {
  it.live("ends with an error that says so, or when it is cancelled, and the connection goes on", () =>
    Effect.gen(function* () {
      const { peer } = yield* start({ queryTimeout: "500 millis" })
      const ask = (query: string, more?: Record<string, unknown>) =>
        Effect.andThen(
          peer.request(request(query, more)),
          Effect.map(Response.take(peer), ({ end }) => error(end))
        )
      const long = yield* ask(`SELECT '${"x".repeat(3 * 1024 * 1024)}'`)
      assert.deepInclude(long, { letter: "J", code: "too_large" })
      assert.include(long.message, "maxFrameSize")
      // Nothing is overloaded by a statement that takes long to prepare, nor is a cancel left unanswered.
      for (const more of [{ timeoutMs: 50 }, {}]) {
        assert.strictEqual((yield* ask(unpreparable, more)).code, "timeout")
      }
      yield* peer.request(request(unpreparable))
      yield* peer.cancel
      assert.strictEqual((yield* Response.take(peer)).end, "K")
      assert.deepStrictEqual(yield* json(peer, "SELECT 1 AS a"), [{ a: 1 }])
    })
  )
})

describe("a served file that has been deleted", () => {
  it.live("is told as such in every format", () =>
    Effect.gen(function* () {
      const file = join(yield* Folder.make, "a.csv")
      writeFileSync(file, "x\n1\n")
      const live = yield* LiveServer.start(yield* DuckDbEngines.make({ tables: { a: file } }))
      const peer = yield* LiveServer.connect(live.address)
      assert.deepStrictEqual(yield* json(peer, "FROM a"), [{ x: 1 }])
      rmSync(file)
      for (const format of QueryApi.Format.literals) {
        yield* peer.request(request("FROM a", { format }))
        const { code, message } = error((yield* Response.take(peer)).end)
        assert.strictEqual(code, "not_found")
        assert.match(message, /^The file of the table a has been deleted/)
      }
    })
  )
})
