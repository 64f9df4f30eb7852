import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Sentinel from "../../src/engine/duckdb/Sentinel.ts"
import { columns, type Engine, failure, rows, text, withEngine } from "./duckdbEngine.ts"

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

/** Queries whose operators, keywords and brackets are all calls of functions to DuckDB's parser. */
const ordinary = [
  "SELECT current_date, current_user, today(), extract(year FROM ts), position('a' IN symbol) FROM trades LIMIT 1",
  "SELECT grouping(symbol), count(*) FROM trades GROUP BY CUBE(symbol) LIMIT 1",
  "SELECT row_number() OVER (), lag(price, 1, 0) OVER w, first_value(price IGNORE NULLS) OVER w FROM trades WINDOW w AS (PARTITION BY symbol ORDER BY ts) LIMIT 1",
  "SELECT unnest([1, 2]), generate_subscripts([5], 1)",
  "SELECT [x * 2 FOR x IN [1, 2] IF x > 1], list_reduce([1, 2], lambda a, b: a + b), [1, 2][1:1], 5 // 2, 2 ^ 3, 5!",
  "SELECT 'a' SIMILAR TO 'a', 'a' GLOB 'a', 'x' ILIKE 'X', 'x' !~ 'y', 'a' ^@ 'a', 'x' NOT LIKE 'y' ESCAPE '$'",
  "SELECT @(-1), ~1, 1 & 1, 1 | 2, 1 << 1, xor(1, 2), -(1), 2 ** 2, 7 % 2, 'a' || 'b', [1] && [1], [1] @> [1]",
  "SELECT '{\"a\":1}'::JSON->'a', '{\"a\":1}'::JSON->>'$.a', ts AT TIME ZONE 'UTC' FROM trades LIMIT 1",
  "SELECT (1, 2) = (1, 2), 1 IS DISTINCT FROM 2, coalesce(NULL, 1), nullif(1, 1), ifnull(NULL, 2), try(1 / 0)",
  "SELECT mode() WITHIN GROUP (ORDER BY size), quantile_cont(size, 0.5), string_agg(side, ',') FILTER (size < 2) FROM trades",
  "FROM trades ASOF JOIN quotes USING (symbol, ts) LIMIT 1",
  "FROM trades POSITIONAL JOIN quotes LIMIT 1",
  "SELECT max(COLUMNS('s.*')) FROM trades",
  "SELECT COLUMNS(lambda c: c LIKE 'p%') FROM trades LIMIT 1",
  "FROM trades USING SAMPLE 5 ROWS",
  "FROM (PIVOT trades ON side IN ('buy') USING count(*) GROUP BY symbol)",
  "UNPIVOT (SELECT 1 AS a, 2 AS b) ON a, b",
  "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 3) FROM t",
  "SELECT now() - INTERVAL (1) YEAR, to_days(1), epoch_ms(0), strftime(ts, '%Y'), uuid(), random(), version() FROM trades LIMIT 1",
  "SELECT struct_pack(a := 1), MAP {'a': 1}['a'], union_value(a := 1).a, regexp_replace('a', 'a', 'b', 'g'), trim(BOTH 'a' FROM 'aba')",
  "SELECT side.upper().lower(), substring('abc' FROM 1 FOR 2), format('{}', 1), printf('%d', 1) FROM trades LIMIT 1",
  "FROM json_each('[1]')",
  "FROM range(3) WITH ORDINALITY",
  "TABLE trades LIMIT 1",
  "VALUES (1), (2)"
]

describe("the names of columns", () => {
  it.effect("are unique, and those that a query has, where a statement writes", () =>
    withEngine({ readWrite: true }, (engine) =>
      Effect.gen(function* () {
        yield* text(engine, "CREATE TABLE t (id INTEGER, v INTEGER)")
        const list = "id, v AS id, 3 AS ID, 4 AS id_1"
        const names = ["id", "id_1", "ID_2", "id_1_1"]
        for (const query of [`INSERT INTO t VALUES (1, 2) RETURNING ${list}`, `SELECT ${list} FROM t`]) {
          assert.deepStrictEqual(
            (yield* columns(engine, query))?.map(({ name }) => name),
            names,
            query
          )
          const [row] = (yield* rows(engine, query)) as [Record<string, number>]
          assert.deepStrictEqual(Object.entries(row), [
            ["id", 1],
            ["id_1", 2],
            ["ID_2", 3],
            ["id_1_1", 4]
          ])
          const csv = yield* text(engine, query, { format: "text/csv" })
          assert.isTrue(csv.startsWith(`${names.join(",")}\r\n1,2,3,4\r\n`), csv)
        }
      })
    )
  )

  it.effect("and of tables may be those that the engine uses itself", () =>
    withEngine({ readWrite: true }, (engine) =>
      Effect.gen(function* () {
        yield* text(
          engine,
          "CREATE TABLE staged (r INTEGER, c0 INTEGER, size INTEGER, t INTEGER, pad INTEGER)"
        )
        yield* text(engine, "INSERT INTO staged VALUES (1, 2, 3, 4, 5) RETURNING *")
        const row = { r: 1, c0: 2, size: 3, t: 4, pad: 5 }
        assert.deepStrictEqual(yield* rows(engine, "FROM staged"), [row])
        assert.deepStrictEqual(yield* rows(engine, "SELECT * FROM staged AS r ORDER BY c0, size, t, pad"), [
          row
        ])
        assert.deepStrictEqual(yield* rows(engine, "WITH query(a) AS (SELECT 1) FROM query"), [{ a: 1 }])
        assert.deepStrictEqual(yield* rows(engine, `SELECT 'menu&"x"' AS a`), [{ a: 'menu&"x"' }])
      })
    )
  )

  it.effect("of the engine's own are shown nowhere", () =>
    withEngine({ readWrite: true, sample: true }, (engine) =>
      Effect.gen(function* () {
        // DuckDB proposes tables of all databases whose names are alike.
        const alike = `${Sentinel.database.slice(0, -4)}abcd`
        for (const name of ["sentinel", alike, `${alike}.${alike}`]) {
          const error = yield* failure(engine, `SELECT * FROM ${name}`)
          assert.oneOf(error.code, ["not_found", "invalid_query"])
          assert.notInclude(error.message, Sentinel.database)
        }
      })
    )
  )
})

describe("ordinary SQL", () => {
  it.effect("is answered", () =>
    withEngine({ sample: true }, (engine) =>
      Effect.forEach(
        ordinary,
        (query) => Effect.map(rows(engine, query), (found) => assert.notDeepEqual(found, [], query)),
        { discard: true }
      )
    )
  )
})
