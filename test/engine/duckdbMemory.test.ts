import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Columns from "../../src/engine/duckdb/Columns.ts"
import * as Database from "../../src/engine/duckdb/Database.ts"
import * as ResultMemory from "../../src/engine/duckdb/ResultMemory.ts"
import * as Session from "../../src/engine/duckdb/Session.ts"
import * as TextSql from "../../src/engine/duckdb/TextSql.ts"
import * as Limits from "../../src/engine/Limits.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import * as Chunk from "../../src/net/Chunk.ts"
import { isIsolated } from "../support/DuckDbEngines.ts"
import { ask, failure, text, withEngine } from "./duckdbEngine.ts"

const pollMs = 100
const idlePolls = 5

/** Ends when this process has all but ceased to compute. */
const idle = Effect.promise(async () => {
  for (let polls = 0; polls < idlePolls; ) {
    const before = process.cpuUsage()
    await new Promise((resolve) => setTimeout(resolve, pollMs))
    const { user, system } = process.cpuUsage(before)
    polls = user + system < pollMs * 100 ? polls + 1 : 0
  }
})

/** The most memory that this process has ever had, in megabytes. */
const peak = () => process.resourceUsage().maxRSS / 1e3

describe("a reader that stalls", () => {
  for (const format of ["application/x-ndjson", "application/vnd.apache.arrow.stream"] as const) {
    it.effect(
      `holds a bounded number of bytes of ${format}, however long the rows are`,
      () =>
        withEngine({ readWrite: true, threads: 2 }, (engine) =>
          Effect.gen(function* () {
            // Several row groups, so that the second thread works on a later one.
            yield* ask(engine, "CREATE TABLE numbers AS FROM range(400000) AS numbers(i)")
            yield* idle
            const before = peak()
            // 4 GB in all. DuckDB alone would keep 100 000 rows, however long.
            const query = "SELECT repeat(chr((65 + i % 26)::INTEGER), 10000) AS t FROM numbers"
            const { chunks } = yield* engine.init(QueryApi.encodeRequest({ query, format }))
            const pull = yield* Stream.toPull(chunks)
            yield* pull
            yield* idle
            assert.isBelow(peak() - before, 250)
          })
        ),
      60_000
    )
  }
})

describe("a chunk of a text", () => {
  it.live("has few bytes, however long the rows are", () =>
    Effect.gen(function* () {
      const { instance, session } = yield* Database.open({ threads: 1 })
      const opened = yield* Session.open(instance, { ...session, transaction: "read only" })
      const sql = "SELECT i, repeat('x', 5000 + i % 7) AS t FROM range(5000) AS r(i)"
      const columns = yield* Columns.ofResult(yield* opened.call((to) => to.stream(sql)), Limits.defaults)
      const text = TextSql.csv({ source: { sql, columns }, limits: Limits.defaults })
      let bytes = 0
      yield* opened.call(async (to) => {
        const stream = await to.stream(text)
        for (let chunk = await stream.fetchChunk(); chunk?.rowCount; chunk = await stream.fetchChunk()) {
          const length = chunk.getColumnValues(0).join("").length
          assert.isAtMost(length, 300_000)
          bytes += length
        }
      })
      assert.isAbove(bytes, 25_000_000)
    })
  )

  it.live("with a row that is longer still is followed by no chunks of nothing", () =>
    Effect.gen(function* () {
      const { instance, session } = yield* Database.open({ threads: 1 })
      const opened = yield* Session.open(instance, { ...session, transaction: "read only" })
      const sql = "SELECT repeat('x', 10000000) AS t"
      const columns = yield* Columns.ofResult(yield* opened.call((to) => to.stream(sql)), Limits.defaults)
      const text = TextSql.csv({ source: { sql, columns }, limits: Limits.defaults })
      const count = yield* opened.call(async (to) =>
        (await to.run(`SELECT count(*) FROM (${text})`)).getRows()
      )
      // A vector, and the sentinel.
      assert.deepStrictEqual(count, [[2049n]])
    })
  )
})

describe("the memory of all results", () => {
  const options = { maxResultMemory: 20e6, threads: 2 }

  it("is divided among them, and counted by the length of their rows until they end", () => {
    const memory = new ResultMemory.ResultMemory(options)
    const shares = Array.from({ length: 3 }, () => memory.open())
    assert.deepStrictEqual(
      shares.map(({ bufferBytes }) => bufferBytes),
      [8_000_000, 4_000_000, 256_000]
    )
    shares[2]?.made(1_000_000, 50_000_000)
    assert.isFalse(memory.isFull)
    shares[2]?.made(10_000, 50_000_000)
    assert.isTrue(memory.isFull)
    shares[2]?.close()
    assert.isFalse(memory.isFull)
  })

  it.effect("is no room for another query when readers hold it", () =>
    withEngine(options, (engine) =>
      Effect.gen(function* () {
        const query = "SELECT repeat('x', 5000) FROM range(1000000)"
        yield* Effect.scoped(
          Effect.gen(function* () {
            const { chunks } = yield* engine.init(QueryApi.encodeRequest({ query }))
            const pull = yield* Stream.toPull(chunks)
            for (let bytes = 0; bytes < 20e6; ) for (const chunk of yield* pull) bytes += chunk.length
            const { code, message, type } = yield* failure(engine, "SELECT 42")
            assert.deepStrictEqual([type, code], ["J", "overloaded"])
            assert.include(message, "maxResultMemory")
          })
        )
        assert.strictEqual(yield* text(engine, "SELECT 42 AS a"), '[{"a":42}]')
      })
    )
  )
})

describe("the chunks of a text", () => {
  const query =
    "SELECT i, repeat('x', CASE WHEN i % 3000 = 7 THEN 700000 ELSE i % 90 END) AS t FROM range(9000) AS r(i)"

  for (const format of ["application/json", "application/x-ndjson", "text/csv"] as const) {
    it.effect.skipIf(isIsolated)(`are freed once they are given back, and no others: ${format}`, () =>
      withEngine({}, (engine) =>
        Effect.gen(function* () {
          const whole = yield* ask(engine, query, { format })
          const { chunks } = yield* engine.init(QueryApi.encodeRequest({ query, format }))
          const copies: Array<Buffer> = []
          let freed = 0
          yield* Stream.runForEach(chunks, (chunk) =>
            Effect.sync(() => {
              copies.push(Buffer.from(chunk))
              const { length } = chunk
              Chunk.release(chunk)
              // Rows that are cut share their memory with what has yet to be sent.
              freed += length - chunk.length
            })
          )
          assert.isTrue(Buffer.concat(copies).equals(whole))
          assert.isAbove(freed, 300_000)
        })
      )
    )
  }
})
