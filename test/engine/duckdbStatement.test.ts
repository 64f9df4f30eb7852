import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type Engine, failure, rows, text, withEngine } from "./duckdbEngine.ts"

const refused = (engine: Engine, query: string, mention: string) =>
  Effect.map(failure(engine, query), (error) => {
    assert.deepInclude(error, { type: "J", code: "not_allowed" }, query)
    assert.include(error.message, mention, query)
  })

describe("EXPLAIN", () => {
  it.effect("shows the plan of a statement that is allowed, with its parameters", () =>
    withEngine({ sample: true }, (engine) =>
      Effect.gen(function* () {
        for (const prefix of [
          "EXPLAIN ",
          "EXPLAIN ANALYZE ",
          "explain analyse ",
          "EXPLAIN (ANALYZE) ",
          "EXPLAIN (FORMAT json)",
          "EXPLAIN(ANALYZE, FORMAT 'json')",
          "EXPLAIN (FORMAT yaml) ",
          "-- x\n/* y */ EXPLAIN /* ( */ "
        ]) {
          const query = `${prefix}SELECT * FROM trades WHERE size = ? ;`
          const found = (yield* rows(engine, query, { parameters: [1] })) as ReadonlyArray<{
            explain_value: string
          }>
          assert.include(found[0]?.explain_value, "size", query)
        }
        yield* text(engine, "EXPLAIN (SELECT 1)")
        yield* text(engine, "EXPLAIN ANALYZE (SELECT 1) UNION ALL SELECT 2")
      })
    )
  )

  it.effect("of anything else is refused", () =>
    withEngine({ sample: true }, (engine) =>
      Effect.gen(function* () {
        for (const [query, mention] of [
          ["EXPLAIN ANALYZE DELETE FROM trades", "DELETE"],
          ["EXPLAIN EXPLAIN SELECT 1", "EXPLAIN"],
          ["EXPLAIN (CODEGEN) SELECT 1", "FORMAT"],
          ["EXPLAIN (ANALYZE a$$) COPY (SELECT 'x' AS x) TO 'x.csv' --$$) SELECT 1", "FORMAT"],
          ["EXPLAIN (ANALYZE, FORMAT html) SELECT 1", "json"],
          ["EXPLAIN SET threads = 1", "SET"]
        ] as const) {
          yield* refused(engine, query, mention)
        }
        assert.deepInclude(yield* failure(engine, "EXPLAIN SELECT 1; SELECT 2"), {
          type: "J",
          code: "invalid_query"
        })
        assert.deepInclude(yield* failure(engine, "EXPLAIN SELECT é, FROM FROM"), {
          type: "J",
          code: "syntax_error",
          position: 24
        })
      })
    )
  )

  it.effect("shows a statement that writes with readWrite only", () =>
    withEngine({ readWrite: true }, (engine) =>
      Effect.gen(function* () {
        yield* text(engine, "CREATE TABLE t (a INTEGER)")
        assert.include(yield* text(engine, "EXPLAIN INSERT INTO t VALUES (1)"), "INSERT")
        assert.deepStrictEqual(yield* rows(engine, "FROM t"), [])
        assert.include(yield* text(engine, "EXPLAIN ANALYZE INSERT INTO t VALUES (1)"), "Total Time")
        assert.deepStrictEqual(yield* rows(engine, "FROM t"), [{ a: 1 }])
      })
    )
  )
})

describe("a statement", () => {
  it.effect("cannot leave the parentheses that it is put in", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        for (const query of [
          "SELECT 1) AS r(c0) UNION ALL SELECT 2 FROM (SELECT 3",
          "SELECT 1) --",
          "SELECT 1 /*",
          "SELECT 1 /* /* */",
          "SELECT $$",
          "SELECT 1 AS a, $x$)",
          "SELECT 1 AS a 'x",
          'SELECT 1 AS "a',
          "SELECT e'\\'",
          "SELECT 1 AS a; --\n) x",
          "(SELECT 1"
        ]) {
          assert.deepInclude(yield* failure(engine, query), { type: "J", code: "syntax_error" }, query)
        }
      })
    )
  )

  it.effect("is read to its end, whatever semicolons, quotes and comments there are", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        for (const query of [
          "SELECT 1 AS a$$ ; -- $$",
          "SELECT 1 AS a$$ /* ; $$ */ ; ; /* ; */",
          "SELECT 1 AS a$$;;;;;;;;;;;;;;;;;;;;;;;;;;;;",
          "SELECT 1 AS a$$ -- ' ; \" /*",
          "\ufeff SELECT 1 AS a$$ ;\n",
          "FROM (SELECT 1 AS a$$) /* (((( */"
        ]) {
          assert.deepStrictEqual(yield* rows(engine, query), [{ a$$: 1 }], query)
        }
        assert.deepStrictEqual(yield* rows(engine, "SELECT ';' AS a, $x$;$x$ AS \";\", e'\\';' AS c; -- ;"), [
          { a: ";", ";": ";", c: "';" }
        ])
      })
    )
  )

  it.effect("that names thousands of functions is refused with a reason", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        const calls = Array.from({ length: 1001 }, (_, index) => `f${index}()`)
        const error = yield* failure(engine, `SELECT ${calls.join(", ")}`)
        assert.deepInclude(error, { type: "J", code: "invalid_query" })
        assert.include(error.message, "1000")
      })
    )
  )
})
