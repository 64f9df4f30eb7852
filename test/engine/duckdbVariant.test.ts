import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { failure, rows, text, withEngine } from "./duckdbEngine.ts"

const making = [
  "SELECT array_grade_up(1::VARIANT)",
  "SELECT array_resize(NULL::VARIANT, NULL, 1)",
  'SELECT array_reverse_sort(CAST(1 AS pg_catalog."variant"))',
  "SELECT TRY_CAST(1 AS STRUCT(a VARIANT[]))",
  "SELECT repeat('[', 100000)::JSON::VARIANT",
  "EXPLAIN SELECT 1::VARIANT",
  "SELECT array_grade_up(from_json('1', '\"VARIANT\"'))",
  "SELECT json_transform('1', '\"v\\u0061riant\"'::JSON)",
  "SELECT from_json('1', '\"VARI' || 'ANT\"')",
  "FROM test_all_types()"
]

const writing = [
  "INSERT INTO t SELECT array_grade_up(1::VARIANT)[1]",
  "INSERT INTO t SELECT array_grade_up(CAST(1 AS /**/ VARIANT))[1]",
  "CREATE TABLE u AS SELECT 1::STRUCT(a VARIANT) AS v",
  "CREATE TABLE u (v VARIANT)",
  "CREATE TYPE v AS VARIANT",
  "CREATE TYPE v AS STRUCT(a VARIANT)",
  "ALTER TABLE t ADD COLUMN v VARIANT[]"
]

describe("values of VARIANT", () => {
  it.effect("are made by no query", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        for (const query of making) {
          assert.deepInclude(yield* failure(engine, query), { type: "J", code: "not_allowed" }, query)
        }
        assert.deepStrictEqual(
          yield* rows(engine, "SELECT 'VARIANT' AS variant, '\"id\":\"VARIANT\"' AS b"),
          [{ variant: "VARIANT", b: '"id":"VARIANT"' }]
        )
        assert.deepStrictEqual(
          yield* rows(engine, 'SELECT from_json(\'{"a": 1}\', \'{"a": "INTEGER"}\').a AS a'),
          [{ a: 1 }]
        )
      })
    )
  )

  it.effect("are made by no statement that writes, which may name columns so", () =>
    withEngine({ readWrite: true }, (engine) =>
      Effect.gen(function* () {
        yield* text(engine, "CREATE TABLE t (a INTEGER, variant VARCHAR)")
        for (const query of writing) {
          assert.deepInclude(yield* failure(engine, query), { type: "J", code: "not_allowed" }, query)
        }
        yield* text(engine, "INSERT INTO t (a, variant) VALUES (1::INTEGER, 'variant')")
        yield* text(engine, "UPDATE t SET variant = 'other' WHERE variant = 'variant'")
        assert.deepStrictEqual(yield* rows(engine, "FROM t"), [{ a: 1, variant: "other" }])
      })
    )
  )
})
