import { join } from "node:path"
import { DuckDBInstance } from "@duckdb/node-api"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Folder from "../support/Folder.ts"
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

const sorting = [
  "SELECT list_sort(v) FROM t",
  "SELECT List_Reverse_Sort(t.v) FROM t",
  "SELECT list_grade_up(c.v) FROM (SELECT * FROM T) AS c",
  "WITH c AS (FROM t) SELECT array_sort(variant_extract(v, 'a')) FROM c",
  "SELECT v.list_sort() FROM t",
  "SELECT list_resize(z, 5) FROM w",
  "SELECT list_sort(first_of()) FROM range(1)",
  "EXPLAIN SELECT list_sort(v) FROM t"
]

describe("served values of VARIANT", () => {
  const database = Effect.gen(function* () {
    const path = join(yield* Folder.make, "v.duckdb")
    yield* Effect.promise(async () => {
      const instance = await DuckDBInstance.create(path, { storage_compatibility_version: "latest" })
      const connection = await instance.connect()
      await connection.run("CREATE TABLE t AS SELECT 1 AS id, [1]::VARIANT AS v, [2, 1] AS l")
      await connection.run("CREATE VIEW w AS SELECT v AS z FROM t")
      await connection.run("CREATE MACRO first_of() AS (SELECT v FROM t)")
      await connection.run("CREATE TABLE other AS SELECT [2, 1] AS l")
      connection.disconnectSync()
      instance.closeSync()
    })
    return path
  })

  it.effect("are read, and not sorted as lists, on which DuckDB ends the process", () =>
    Effect.flatMap(database, (database) =>
      withEngine({ database }, (engine) =>
        Effect.gen(function* () {
          for (const query of sorting) {
            const { code, message } = yield* failure(engine, query)
            assert.strictEqual(code, "not_allowed", query)
            assert.match(message, /^The function \w+ is not for queries that may read columns of VARIANT/)
          }
          assert.deepStrictEqual(yield* rows(engine, "SELECT list_sort(l) AS l FROM other"), [{ l: [1, 2] }])
          assert.deepStrictEqual(yield* rows(engine, "SELECT l[1] AS n FROM t WHERE v IS NOT NULL"), [
            { n: 2 }
          ])
        })
      )
    )
  )

  it.effect("are not sorted either where clients may give them another table", () =>
    Effect.flatMap(database, (database) =>
      withEngine({ database, readWrite: true }, (engine) =>
        Effect.gen(function* () {
          yield* text(engine, "CREATE VIEW mine AS SELECT v AS z FROM t")
          for (const query of [
            "SELECT list_sort(z) FROM mine",
            "INSERT INTO other SELECT list_sort(v) FROM t"
          ]) {
            assert.strictEqual((yield* failure(engine, query)).code, "not_allowed", query)
          }
        })
      )
    )
  )
})
