import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import { isLong } from "../support/Long.ts"
import { ask, columns, failure, rows, text, withEngine } from "./duckdbEngine.ts"

const formats = QueryApi.Format.literals

/** Values of types that no cast of NULL makes, or that DuckDB's bindings have no name for. */
const special = [
  "get_type(1)",
  "make_type('INTEGER')",
  "'x'::ENUM('x', 'y')",
  "[1, 2, 3]::INTEGER[3]",
  "[]",
  "MAP {}",
  "row(1, row(2))",
  "union_value(k := 1)",
  "{'a': 1}::JSON",
  "'POINT (1 1)'::GEOMETRY",
  "123456789012345678901234567890::BIGNUM",
  "'101'::BIT",
  "'00:00:00'::TIME_NS",
  "'a' COLLATE NOCASE",
  "getvariable('x')"
]

const nested = (value: string) => [
  value,
  `[${value}]`,
  `{'x': ${value}}`,
  `MAP {1: ${value}}`,
  `union_value(k := ${value})`
]

describe("a value of any type", () => {
  it.effect("is answered in every format, alone and inside others", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        const types = (yield* rows(
          engine,
          "SELECT DISTINCT type_name AS t FROM duckdb_types() WHERE type_name NOT IN ('array', 'enum', 'list', 'map', 'struct', 'union', 'row', 'variant')"
        )) as ReadonlyArray<{ t: string }>
        assert.isAbove(types.length, 30)
        // Each value in each place and each format; all of both in the long run.
        let turn = 0
        for (const value of [...types.map(({ t }) => `NULL::"${t}"`), ...special]) {
          for (const expression of nested(value)) {
            const first = turn++
            for (const format of isLong
              ? formats
              : formats.filter((_, index) => index === first % formats.length)) {
              assert.isNotEmpty(
                yield* ask(engine, `SELECT ${expression} AS a, 1 AS b`, { format }),
                expression
              )
            }
          }
        }
      })
    )
  )

  it.effect("is text where DuckDB's interface has no name for its type", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        const query = "SELECT get_type(1) AS a, 2 AS b, [get_type('x')] AS c, ? AS d;"
        const parameters = [3]
        assert.deepStrictEqual(yield* rows(engine, query, { parameters }), [
          { a: "INTEGER", b: 2, c: "[VARCHAR]", d: 3 }
        ])
        assert.strictEqual(
          yield* text(engine, query, { parameters, format: "text/csv" }),
          "a,b,c,d\r\nINTEGER,2,[VARCHAR],3\r\n"
        )
        assert.deepStrictEqual(yield* columns(engine, query, { parameters }), [
          { name: "a", type: "VARCHAR" },
          { name: "b", type: "INTEGER" },
          { name: "c", type: "VARCHAR" },
          { name: "d", type: "INTEGER" }
        ])
      })
    )
  )

  it.effect("that has no text either is an error", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        for (const format of formats) {
          const error = yield* failure(engine, "SELECT sum(1) EXPORT_STATE AS a", { format })
          assert.include(error.message, "AGGREGATE_STATE")
          assert.notStrictEqual(error.code, "internal")
        }
      })
    )
  )

  it.effect("that cannot be sent is refused before a statement writes", () =>
    withEngine({ readWrite: true }, (engine) =>
      Effect.gen(function* () {
        yield* text(engine, "CREATE TABLE t (a INTEGER)")
        const error = yield* failure(engine, "INSERT INTO t VALUES (1) RETURNING get_type(a)")
        assert.deepInclude(error, { type: "J", code: "invalid_query" })
        assert.include(error.message, "VARCHAR")
        assert.deepStrictEqual(yield* rows(engine, "FROM t"), [])
      })
    )
  )
})
