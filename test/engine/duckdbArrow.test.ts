/**
 * Arrow results that are wide, long, or beyond what Arrow can say.
 */
import { DuckDBInstance } from "@duckdb/node-api"
import duckdb from "@duckdb/node-bindings"
import { assert, describe, it } from "@effect/vitest"
import { tableFromIPC } from "apache-arrow"
import * as Effect from "effect/Effect"
import * as ArrowVectors from "../../src/engine/duckdb/ArrowVectors.ts"
import * as Columns from "../../src/engine/duckdb/Columns.ts"
import * as Sentinel from "../../src/engine/duckdb/Sentinel.ts"
import * as TypedSql from "../../src/engine/duckdb/TypedSql.ts"
import * as Limits from "../../src/engine/Limits.ts"
import { ask, failure, withEngine } from "./duckdbEngine.ts"

const format = "application/vnd.apache.arrow.stream"

describe("an Arrow result", () => {
  it.effect("may have more columns of texts than DuckDB nests expressions", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        const columns = Array.from({ length: 1200 }, (_, index) => `'text ${index}' AS c${index}`)
        const table = tableFromIPC(yield* ask(engine, `SELECT ${columns.join(", ")}`, { format }))
        assert.strictEqual(table.getChild("c1199")?.get(0), "text 1199")
      })
    )
  )

  it.effect("has no interval that is longer than its nanoseconds, and names the column", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        for (const interval of ["3000000 hours", "9223372036854776 microseconds", "-2562048 hours"]) {
          for (const value of [`INTERVAL '${interval}'`, `[{'a': INTERVAL '${interval}'}]`]) {
            const error = yield* failure(engine, `SELECT ${value} AS long`, { format })
            assert.deepInclude(error, { type: "E", code: "execution_failed" })
            assert.include(error.message, "column long")
          }
        }
        const longest = "INTERVAL '9223372036854775 microseconds'"
        const table = tableFromIPC(yield* ask(engine, `SELECT ${longest} AS a`, { format }))
        const [, , low, high] = table.getChild("a")?.get(0) ?? []
        assert.strictEqual((BigInt(high) << 32n) | BigInt(low >>> 0), 9223372036854775000n)
      })
    )
  )

  it.effect("has no integer of more digits than a decimal, and names the column", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        const largest = "170141183460469231731687303715884105727::HUGEINT"
        for (const value of [largest, `[{'a': ${largest}}]`]) {
          const error = yield* failure(engine, `SELECT ${value} AS large`, { format })
          assert.deepInclude(error, { type: "E", code: "execution_failed" })
        }
        const fits = `${"9".repeat(38)}::HUGEINT`
        const table = tableFromIPC(yield* ask(engine, `SELECT ${fits} AS a`, { format }))
        assert.strictEqual(table.schema.fields[0]?.type.precision, 38)
      })
    )
  )

  it.effect("keeps rows with lists of any length, and their order", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        const lists = "CASE WHEN i % 7 = 0 THEN NULL ELSE range(i * 40) END"
        const query = `SELECT i, ${lists} AS l, [i, i]::INTEGER[2] AS a, {'a': [i]::INTEGER[1]} AS s FROM range(300) t(i)`
        const table = tableFromIPC(yield* ask(engine, query, { format }))
        assert.strictEqual(table.numRows, 300)
        for (let i = 0; i < 300; i++) {
          const [index, list, array, struct] = Array.from(table.get(i) ?? [], ([, value]) => value)
          assert.strictEqual(index, BigInt(i))
          assert.strictEqual(list?.length ?? -1, i % 7 === 0 ? -1 : i * 40)
          if (i % 7 !== 0) assert.strictEqual(list.get(i * 40 - 1), BigInt(i * 40 - 1))
          assert.deepStrictEqual(Array.from(array), [i, i])
          assert.deepStrictEqual(Array.from(struct.a), [i])
        }
      })
    )
  )
})

describe("a chunk of an Arrow result", () => {
  it.live("has few elements in all its lists together", () =>
    Effect.gen(function* () {
      const instance = yield* Effect.promise(() => DuckDBInstance.create(":memory:"))
      const connection = yield* Effect.promise(() => instance.connect())
      for (const sql of Sentinel.statements) yield* Effect.promise(() => connection.run(sql))
      const query = "SELECT range(5000) AS l FROM range(500)"
      const result = yield* Effect.promise(() => connection.stream(`${query} LIMIT 0`))
      const columns = yield* Columns.ofResult(result, Limits.defaults)
      const rows = { source: { sql: query, columns }, limits: Limits.defaults }
      const stream = yield* Effect.promise(() =>
        connection.stream(TypedSql.weighed(rows, ArrowVectors.rename))
      )
      let elements = 0
      for (;;) {
        const chunk = yield* Effect.promise(() => stream.fetchChunk())
        if (chunk === null || chunk.rowCount === 0) break
        const size = duckdb.list_vector_get_size(duckdb.data_chunk_get_vector(chunk.chunk, 0))
        assert.isAtMost(size, 500_000)
        elements += size
      }
      assert.strictEqual(elements, 2_500_000)
      connection.disconnectSync()
      instance.closeSync()
    })
  )
})
