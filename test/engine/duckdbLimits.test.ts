import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { DuckDbOptions } from "../../src/engine/duckdb/index.ts"
import * as Limits from "../../src/engine/Limits.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import { isLong } from "../support/Long.ts"
import { ask, columns, failure, rows, withEngine } from "./duckdbEngine.ts"

const formats = QueryApi.Format.literals

/** What becomes of a query on an engine with these limits. */
const refusal = (options: DuckDbOptions, query: string, details: Parameters<typeof failure>[2] = {}) =>
  withEngine({ threads: 1, ...options }, (engine) => failure(engine, query, details))

const list = (count: number, item: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => item(index)).join()

describe("maxQueryLength", () => {
  it.effect("counts bytes of UTF-8", () =>
    withEngine({ maxQueryLength: 12 }, (engine) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* rows(engine, "SELECT 1 AS a".slice(0, 8)), [{ "1": 1 }])
        const { code, message, type } = yield* failure(engine, "SELECT 'éé'")
        assert.deepStrictEqual({ code, type }, { code: "bad_request", type: "J" })
        assert.include(message, "maxQueryLength")
      })
    )
  )
})

describe("maxColumns", () => {
  for (const [what, query] of [
    ["columns", "SELECT 1, 2, 3, 4"],
    ["fields of a struct", "SELECT {'a': 1, 'b': 2, 'c': 3}"],
    ["fields within lists", "SELECT [{'a': 1, 'b': {'c': 2, 'd': 3}}]"],
    ["columns of a statement that cannot stand in a FROM clause", "DESCRIBE SELECT 1"]
  ] as const) {
    it.effect(`refuses too many ${what}`, () =>
      Effect.gen(function* () {
        const { code, message, type } = yield* refusal({ maxColumns: 3 }, query)
        assert.deepStrictEqual({ code, type }, { code: "invalid_query", type: "J" })
        assert.include(message, "maxColumns")
      })
    )
  }

  it.effect("allows as many as it says, in every format", () =>
    withEngine({ maxColumns: 3 }, (engine) =>
      Effect.forEach(formats, (format) => ask(engine, "SELECT 1 AS a, {'b': 2} AS s", { format }))
    )
  )

  it.effect("keeps an accept below 1 MiB, whatever names and types repeat", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        const name = "n".repeat(100_000)
        const repeated = (count: number) =>
          `SELECT ${list(count, (index) => `s AS a${index}`)} FROM (SELECT {'${name}': 1} AS s)`
        assert.strictEqual((yield* columns(engine, repeated(10)))?.length, 10)
        const { code, message, type } = yield* failure(engine, repeated(11))
        assert.deepStrictEqual({ code, type }, { code: "invalid_query", type: "J" })
        assert.include(message, "maxColumns")
      })
    )
  )
})

describe("maxNesting", () => {
  it.effect("bounds the types of columns", () =>
    withEngine({ maxNesting: 3 }, (engine) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* rows(engine, "SELECT [[[1]]] AS a"), [{ a: [[[1]]] }])
        const { code, message, type } = yield* failure(engine, "SELECT [[[[1]]]] AS a")
        assert.deepStrictEqual({ code, type }, { code: "invalid_query", type: "J" })
        assert.include(message, "maxNesting")
      })
    )
  )
})

for (const format of formats) {
  describe(`a result as ${format}`, () => {
    it.effect("may have as many rows as maxResultRows, and no more", () =>
      withEngine({ maxResultRows: 5000, threads: 1 }, (engine) =>
        Effect.gen(function* () {
          yield* ask(engine, "FROM range(5000)", { format })
          const { code, message, type } = yield* failure(engine, "FROM range(5001)", { format })
          assert.deepStrictEqual({ code, type }, { code: "execution_failed", type: "E" })
          assert.include(message, "maxResultRows")
        })
      )
    )

    it.effect("may have as many bytes as maxResultBytes, and no more", () =>
      Effect.gen(function* () {
        const query = "SELECT i, repeat('x', 100) AS t FROM range(3000) AS r(i)"
        const bytes = yield* withEngine({ threads: 1 }, (engine) => ask(engine, query, { format }))
        const whole = yield* withEngine({ threads: 1, maxResultBytes: bytes.length }, (engine) =>
          ask(engine, query, { format })
        )
        assert.strictEqual(whole.length, bytes.length)
        const { code, message, type } = yield* refusal({ maxResultBytes: bytes.length - 1 }, query, {
          format
        })
        assert.deepStrictEqual({ code, type }, { code: "execution_failed", type: "E" })
        assert.include(message, "maxResultBytes")
      })
    )

    for (const [what, value] of [
      ["a text", "repeat('x', n)"],
      ["a blob", "repeat('x', n)::BLOB"],
      ["a list of numbers", "range(n // 20)"],
      ["a list of texts", "[repeat('x', n // 2), repeat('y', n // 2)]"],
      ["a struct with a list", "{'a': {'b': [repeat('x', n)]}}"],
      ["lists in lists", "[[[range(n // 60)], [range(n // 60)]], [], NULL, [[range(n // 60)]]]"],
      ["a list of structs in a list", "[[{'a': [repeat('x', n)]}, NULL]]"],
      ["ten lists and structs", `${"[{'a': ".repeat(10)}repeat('x', n)${"}]".repeat(10)}`],
      ["an array", "array_value(repeat('x', n // 2), repeat('x', n // 2))"],
      ["a map", "MAP {'k': repeat('x', n)}"],
      ["a union", "union_value(a := repeat('x', n))"]
    ] as const) {
      it.effect(`ends with an error if ${what} makes a row larger than maxRowSize`, () =>
        withEngine({ maxRowSize: 100_000, threads: 1 }, (engine) =>
          Effect.gen(function* () {
            const of = (sizes: string) => `SELECT ${value} AS v FROM (VALUES ${sizes}) AS r(n)`
            yield* ask(engine, of("(10), (80000), (NULL)"), { format })
            for (const sizes of ["(10), (120000), (10)", "(120000)"]) {
              const { code, message, type } = yield* failure(engine, of(sizes), { format })
              assert.deepStrictEqual({ code, type }, { code: "execution_failed", type: "E" })
              assert.include(message, "maxRowSize")
            }
          })
        )
      )
    }

    it.effect("may be nested as deep as maxNesting", () =>
      withEngine({ threads: 1 }, (engine) =>
        Effect.forEach(
          ["'x'", "{'a': [{'b': ['x']}]}"],
          (value) => ask(engine, `SELECT ${"[".repeat(60)}${value}${"]".repeat(60)} AS v`, { format }),
          { discard: true }
        )
      )
    )

    it.effect("is cut nowhere if its rows are long", () =>
      withEngine({ threads: 1 }, (engine) =>
        Effect.gen(function* () {
          const query = (length: number) => `SELECT repeat('x', ${length}) AS t, [1, 'nan'::DOUBLE] AS d`
          const short = yield* ask(engine, query(1), { format })
          const long = yield* ask(engine, query(3_000_000), { format })
          if (format === "application/vnd.apache.arrow.stream") assert.isAbove(long.length, 3_000_000)
          else if (format !== "application/vnd.apache.parquet") {
            assert.strictEqual(long.toString().replace(/x+/, "x"), short.toString())
            assert.strictEqual(long.length, short.length + 2_999_999)
          }
        })
      )
    )

    it.effect("has an accept that repeats the format", () =>
      withEngine({}, (engine) =>
        Effect.gen(function* () {
          const accepted = yield* engine.init(QueryApi.encodeRequest({ query: "SELECT 1", format }))
          assert.strictEqual(JSON.parse(String(Buffer.from(accepted.payload))).format, format)
        })
      )
    )
  })
}

describe.skipIf(!isLong)("a text whose JSON is longer than DuckDB can count", () => {
  it.effect(
    "ends with an error that names maxRowSize",
    () =>
      Effect.gen(function* () {
        const query = "SELECT repeat(chr(1), 800000000) AS t"
        const { code, message, type } = yield* refusal({}, query, { format: "application/x-ndjson" })
        assert.deepStrictEqual({ code, type }, { code: "execution_failed", type: "E" })
        assert.include(message, "maxRowSize")
      }),
    60_000
  )
})

describe("limits", () => {
  for (const [name, value] of Object.entries({
    maxQueryLength: 0,
    maxParameters: 1.5,
    maxNesting: -1,
    maxColumns: Number.POSITIVE_INFINITY,
    maxResultRows: 0,
    maxResultBytes: Number.NaN,
    maxRowSize: Limits.largestRow + 1
  })) {
    it.effect(`an engine does not open with ${name} ${value}`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(withEngine({ [name]: value }, () => Effect.void))
        assert.strictEqual(error.setting, name)
        assert.include(error.message, name)
      })
    )
  }
})
