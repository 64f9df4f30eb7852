import { join } from "node:path"
import { DuckDBInstance } from "@duckdb/node-api"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Functions from "../../src/engine/duckdb/Functions.ts"
import * as Sentinel from "../../src/engine/duckdb/Sentinel.ts"
import * as Folder from "../support/Folder.ts"
import { some } from "../support/Long.ts"
import { type Engine, failure, rows, text, withEngine } from "./duckdbEngine.ts"

const refused = (engine: Engine, query: string, mention: string) =>
  Effect.map(failure(engine, query), (error) => {
    assert.deepInclude(error, { type: "J", code: "not_allowed" }, query)
    assert.include(error.message, mention, query)
  })

/** DuckDB's own functions, from an engine that may list them. */
const builtIn = (engine: Engine) =>
  rows(
    engine,
    "SELECT DISTINCT lower(function_name) AS name, function_type LIKE 'table%' AS table, function_type AS type FROM duckdb_functions() WHERE internal"
  ) as Effect.Effect<ReadonlyArray<{ name: string; table: boolean; type: string }>>

const quote = (name: string) => `"${name.replaceAll('"', '""')}"`

describe("the functions of the installed DuckDB", () => {
  for (const readWrite of [false, true]) {
    it.effect(
      `that are on no list are refused as values and as tables${readWrite ? ", with readWrite" : ""}`,
      () =>
        withEngine({ readWrite }, (engine) =>
          Effect.gen(function* () {
            const listed = yield* builtIn(engine)
            const allowed = new Set([
              ...Functions.values,
              ...Functions.tables,
              ...(readWrite ? Functions.sequences : [])
            ])
            const others = new Set(listed.map(({ name }) => name).filter((name) => !allowed.has(name)))
            assert.isAbove(others.size, 100)
            // Those who only read are refused all of them.
            for (const name of some(Array.from(others), readWrite ? 4 : 1)) {
              yield* refused(engine, `SELECT ${quote(name)}(1)`, name)
              yield* refused(engine, `SELECT 1 AS a FROM system.main.${quote(name)}('x')`, name)
              if (readWrite) yield* refused(engine, `CREATE VIEW v AS SELECT ${quote(name)} (1)`, name)
              if (readWrite)
                yield* refused(engine, `INSERT INTO t FROM ${quote(name.toUpperCase())}/**/()`, name)
            }
          })
        )
    )
  }

  it.effect("that stand where a table does are allowed by a list of their own", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        for (const { name, table } of yield* builtIn(engine)) {
          if (table && !Functions.tables.has(name))
            yield* refused(engine, `FROM ${quote(name)}('x', 1)`, name)
        }
      })
    )
  )

  it.effect("are all that the lists name", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        const listed = yield* builtIn(engine)
        const tables = new Set(listed.filter(({ table }) => table).map(({ name }) => name))
        const values = new Set(listed.filter(({ table }) => !table).map(({ name }) => name))
        assert.deepStrictEqual(
          Array.from(Functions.tables).filter((name) => !tables.has(name)),
          []
        )
        assert.deepStrictEqual(
          [...Functions.values, ...Functions.sequences].filter((name) => !values.has(name)),
          []
        )
      })
    )
  )
})

/** All that DuckDB takes for white space, and comments. */
const blanks = [
  ..."\t\n\f\r \u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u202f\u205f\u2060\u3000\ufeff",
  "/**/",
  "/* /* ( */ */",
  "-- (\n"
]

/** Queries that each call a function in a way of its own. */
const ways = (call: string): ReadonlyArray<string> => [
  `SELECT ${call}`,
  `FROM ${call}`,
  `FROM main.${call}`,
  `FROM system.main.${call}`,
  `(FROM ${call})`,
  `SELECT * FROM range(3) AS t(i), LATERAL (FROM ${call})`,
  `SELECT 1 AS a$$ FROM ${call} AS b$$`,
  `SELECT $$a$$ FROM ${call} WHERE 'b' = $$b$$`,
  `SELECT $x$ ' $x$, e'\\'', '''' FROM ${call}`,
  `SELECT 1 FROM ${call} -- '`,
  `WITH t AS MATERIALIZED (FROM ${call}) SELECT 1`,
  `WITH RECURSIVE t AS (SELECT 1 UNION ALL SELECT 2 FROM ${call}) FROM t`,
  `SELECT 1 UNION ALL SELECT 2 FROM ${call}`,
  `SELECT (SELECT 1 FROM ${call})`,
  `SELECT EXISTS (FROM ${call})`,
  `SELECT ARRAY(FROM ${call})`,
  `SELECT 1 IN (FROM ${call})`,
  `SELECT [x + ${call} FOR x IN [1] IF ${call}]`,
  `SELECT list_transform([1], lambda x: ${call})`,
  `SELECT list_transform([1], x -> ${call})`,
  `SELECT COLUMNS(lambda c: ${call}) FROM range(1)`,
  `SELECT {'a': ${call}}, [${call}], MAP {1: ${call}}`,
  `SELECT CASE WHEN ${call} THEN 1 END, TRY_CAST(${call} AS INTEGER), TRY(${call})`,
  `SELECT * REPLACE (${call} AS range) FROM range(1)`,
  `SELECT DISTINCT ON (${call}) 1`,
  `SELECT 1 WHERE ${call}`,
  `SELECT 1 GROUP BY ${call}`,
  `SELECT 1 FROM range(1) GROUP BY GROUPING SETS ((${call}))`,
  `SELECT 1 HAVING ${call}`,
  `SELECT 1 QUALIFY ${call}`,
  `SELECT 1 ORDER BY ${call}`,
  `SELECT 1 LIMIT ${call}`,
  `SELECT 1 OFFSET ${call}`,
  `SELECT 1 LIMIT (SELECT ${call})`,
  `VALUES (${call})`,
  `FROM (VALUES (${call})) AS t(a)`,
  `FROM range(${call})`,
  `FROM range(1, step := ${call})`,
  `SELECT 1 FROM range(1) a JOIN range(1) b ON ${call}`,
  `SELECT sum(1) FILTER (${call}), list(1 ORDER BY ${call})`,
  `SELECT sum(1) OVER (PARTITION BY ${call} ORDER BY ${call} ROWS BETWEEN ${call} PRECEDING AND CURRENT ROW)`,
  `SELECT sum(1) OVER w FROM range(1) WINDOW w AS (ORDER BY ${call})`,
  `FROM range(1) PIVOT (sum(range) FOR range IN (1) GROUP BY range) WHERE ${call}`,
  `PIVOT (FROM ${call}) ON a IN (1)`,
  `UNPIVOT (FROM ${call}) ON a`,
  `FROM (FROM ${call}) USING SAMPLE 1`,
  `FROM t AT (VERSION => ${call})`,
  `DESCRIBE FROM ${call}`,
  `SUMMARIZE FROM ${call}`,
  `EXPLAIN FROM ${call}`,
  `EXPLAIN ANALYZE FROM ${call}`,
  `EXPLAIN (FORMAT json) SELECT ${call}`,
  `/* */ EXPLAIN -- x\n (ANALYZE, FORMAT json) FROM ${call}`
]

describe("a forbidden function", () => {
  it.effect("is found in every place of a query", () =>
    withEngine({}, (engine) =>
      Effect.forEach(ways("enable_logging()"), (query) => refused(engine, query, "enable_logging"), {
        discard: true
      })
    )
  )

  it.effect("is found in every place of a query within a statement that writes", () =>
    withEngine({ readWrite: true }, (engine) =>
      Effect.gen(function* () {
        let count = 0
        for (const call of ["query(a)", '"query" (1, 2)', "main.query()"]) {
          for (const query of ways(call)) {
            if (query.includes("EXPLAIN")) continue
            for (const writing of ["CREATE VIEW query(a) AS", "INSERT INTO main.query (a) /* query ( */"]) {
              const { code, message } = yield* failure(engine, `${writing} ${query}`)
              if (code === "syntax_error") continue
              assert.deepStrictEqual(
                [code, message],
                ["not_allowed", "The function query is not for clients"],
                query
              )
              count++
            }
          }
        }
        assert.isAbove(count, 200)
      })
    )
  )

  it.effect("is found however its call is written", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        for (const blank of blanks) {
          for (const name of ["enable_logging", "Enable_LOGGING", '"enable_logging"']) {
            yield* refused(engine, `FROM${blank} ${name}${blank}(${blank})`, "enable_logging")
            // Between what looks like dollars DuckDB takes blanks beyond ASCII for a part of the name.
            const query = `SELECT 1 AS a$$ FROM ${name}${blank}() AS b$$`
            if (/^[ -~\t\n\r\f]*$/.test(blank)) yield* refused(engine, query, "enable_logging")
            else assert.strictEqual((yield* failure(engine, query)).type, "J")
          }
        }
        yield* refused(engine, "SELECT a.enable_logging() FROM range(1) t(a)", "enable_logging")
        yield* refused(engine, "SELECT a.abs().query() FROM range(1) t(a)", "query")
        yield* refused(
          engine,
          "FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
          "json_execute"
        )
        yield* refused(engine, "FROM query('SELECT 1') WITH ORDINALITY", "query")
        for (const name of Functions.aggregating) {
          yield* refused(engine, `SELECT "${name}"([1], 'Reservoir_Quantile', [])`, "Reservoir_Quantile")
          yield* refused(engine, `SELECT [1].${name}('reservoir_' || 'quantile')`, "must be a literal")
          yield* refused(engine, `SELECT list_transform([[1]], lambda l: ${name}(l, l::VARCHAR))`, "literal")
          yield* refused(
            engine,
            `EXPLAIN SELECT ${name}([1], n) FROM (SELECT 'sum' AS n)`,
            "must be a literal"
          )
        }
        assert.deepStrictEqual(
          yield* rows(engine, "SELECT list_aggregate([1, 2], 'max') AS a, [1].list_aggr('MIN') AS b"),
          [{ a: 2, b: 1 }]
        )
        yield* refused(engine, "FROM histogram('duckdb_' || 'databases', path)", "histogram")
      })
    )
  )

  it.effect("is found in statements that write", () =>
    withEngine({ readWrite: true }, (engine) =>
      Effect.gen(function* () {
        yield* text(engine, "CREATE TABLE t (a INTEGER)")
        for (const blank of blanks) {
          for (const query of [
            `INSERT INTO t SELECT 1 FROM enable_logging${blank}()`,
            `CREATE VIEW v AS FROM "enable_logging"${blank}()`,
            `CREATE TABLE u AS FROM Enable_Logging${blank}()`
          ]) {
            yield* refused(engine, query, "enable_logging")
          }
        }
        for (const query of [
          "CREATE MACRO m(x) AS query(x)",
          "CREATE MACRO m(x) AS TABLE FROM query(x)",
          "CREATE OR REPLACE TEMP VIEW v AS SELECT (SELECT 1 FROM query('x'))",
          "UPDATE t SET a = (SELECT 1 FROM query('x'))",
          "DELETE FROM t USING query('x')",
          "MERGE INTO t USING query('x') s ON true WHEN MATCHED THEN DELETE",
          "INSERT INTO t VALUES (1) RETURNING (FROM query('x'))",
          "CALL query('x')",
          "EXPLAIN INSERT INTO t FROM query('x')",
          "EXPLAIN ANALYZE INSERT INTO t FROM query('x')"
        ]) {
          yield* refused(engine, query, "query")
        }
        for (const query of [
          "CREATE TABLE u (a INTEGER DEFAULT write_log('x'))",
          "CREATE TABLE u (a INTEGER CHECK (write_log('x')))",
          "CREATE TABLE u (a INTEGER, b AS (write_log('x')))",
          "CREATE INDEX i ON t (write_log('x'))",
          "CREATE TYPE e AS ENUM (SELECT write_log('x'))",
          "ALTER TABLE t ALTER a SET DEFAULT write_log('x')",
          "ALTER TABLE t ALTER a TYPE INTEGER USING write_log('x')"
        ]) {
          yield* refused(engine, query, "write_log")
        }
        for (const database of ["memory", "IF EXISTS memory", '/**/ "memory"']) {
          yield* refused(engine, `ALTER DATABASE ${database} SET ALIAS TO m`, "ALTER DATABASE")
        }
        yield* refused(engine, "DROP SECRET IF EXISTS s", "DROP SECRET")
        for (const call of [
          "list_aggregate(l, 'reservoir_quantile', [])",
          "\"list_aggregate\" (t.l, 'reservoir_quantile')"
        ]) {
          yield* refused(engine, `INSERT INTO t SELECT ${call}`, "reservoir_quantile")
        }
        for (const call of [
          "aggregate(l, 'reservoir_' || 'quantile')",
          "list_aggr(l, n), list_aggr(l, 'sum')"
        ]) {
          yield* refused(engine, `CREATE MACRO m(l, n) AS (${call})`, "must be a literal")
        }
        yield* text(engine, "CREATE MACRO total(l) AS list_aggregate(l, 'sum')")
        yield* refused(engine, "CHECKPOINT", "CHECKPOINT statements are not allowed: the server")
        yield* refused(engine, "FORCE CHECKPOINT", "the server makes its own checkpoints")
        // Before DuckDB looks for its files.
        yield* refused(engine, "/* */ IMPORT DATABASE '/tmp'", "IMPORT statements are not allowed")
        yield* refused(engine, "EXPLAIN IMPORT DATABASE '/tmp'", "IMPORT statements are not allowed")
        const asked = yield* failure(engine, "CREATE TABLE u (a INTEGER)", { readOnly: true })
        assert.include(asked.message, "the request is one that changes nothing (readOnly)")
        yield* refused(engine, "CREATE VIEW v AS FROM duckdb_logs", "duckdb_logs")
        yield* refused(engine, "CREATE VIEW v AS FROM information_schema.views", "views")
        assert.deepStrictEqual(yield* rows(engine, "FROM t"), [])
      })
    )
  )
})

it.effect("what begins with WITH is refused for what it does", () =>
  withEngine({}, (engine) =>
    refused(
      engine,
      "WITH x AS (SELECT 'update' AS delete) INSERT INTO t FROM x",
      "INSERT statements are not allowed: this server only reads"
    )
  )
)

it.effect("functions whose names have capitals may be called", () =>
  withEngine({}, (engine) =>
    Effect.map(
      rows(
        engine,
        "SELECT formatReadableSize(1000) AS a, FORMATREADABLEDECIMALSIZE(1000) AS b, constant_or_null(1, NULL) AS c"
      ),
      (found) => assert.deepStrictEqual(found, [{ a: "1000 bytes", b: "1.0 kB", c: null }])
    )
  )
)

describe("names that only look forbidden", () => {
  for (const [query, expected] of [
    ["SELECT 'menu&\"x\"' AS a", { a: 'menu&"x"' }],
    ["SELECT '__dataconn' AS a", { a: "__dataconn" }],
    ["SELECT 'query(' AS a -- enable_logging(", { a: "query(" }],
    ["WITH query(a) AS (SELECT 1) FROM query", { a: 1 }],
    ["FROM (SELECT 1) AS sniff_csv(a)", { a: 1 }],
    ['SELECT 1 AS "duckdb_logs()"', { "duckdb_logs()": 1 }],
    ["SELECT query.a FROM (SELECT 1 AS a) query", { a: 1 }]
  ] as const) {
    it.effect(`are no calls: ${query}`, () =>
      withEngine({}, (engine) =>
        Effect.map(rows(engine, query), (found) => assert.deepStrictEqual(found, [expected]))
      )
    )
  }

  it.effect("are columns and tables of those who write, too", () =>
    withEngine({ readWrite: true }, (engine) =>
      Effect.gen(function* () {
        yield* text(engine, "CREATE TABLE t (query TEXT, checkpoint INTEGER, secret INTEGER)")
        yield* text(engine, "INSERT INTO t VALUES ('a query', 1, 2)")
        yield* text(engine, "UPDATE t SET query = 'glob' WHERE checkpoint = 1")
        assert.deepStrictEqual(yield* rows(engine, "FROM t"), [{ query: "glob", checkpoint: 1, secret: 2 }])
      })
    )
  )
})

describe("names that only look called, in statements that write,", () => {
  it.effect("are those of tables and of texts", () =>
    withEngine({ readWrite: true }, (engine) =>
      Effect.gen(function* () {
        for (const name of ["summary", "STATS", '"query"', '"Histogram"']) {
          for (const query of [
            `CREATE TABLE ${name} (a INTEGER PRIMARY KEY, b INTEGER)`,
            `INSERT INTO ${name}(a) VALUES (1)`,
            `INSERT INTO /* ( */ main . ${name} (a) VALUES (2)`,
            `INSERT INTO "memory"."main".${name} (a) VALUES (3)`,
            `INSERT OR REPLACE INTO ${name} AS s (a) VALUES (3)`,
            `CREATE INDEX i ON ${name} (b)`,
            `DROP INDEX i`,
            `CREATE TABLE child (a INTEGER REFERENCES ${name} (a))`,
            `DROP TABLE child`,
            `INSERT INTO ${name} WITH ${name}(x) AS (SELECT 4) SELECT x, x FROM ${name}`,
            `INSERT INTO ${name} SELECT * FROM (VALUES (5, 6)) AS ${name}(x, y)`,
            `DELETE FROM ${name} WHERE a = 5 -- ${name} (`,
            `CREATE VIEW v AS SELECT a AS ${name} FROM ${name}-- of ${name}`,
            `DROP VIEW v`
          ]) {
            yield* text(engine, query)
          }
          assert.deepStrictEqual(yield* rows(engine, `SELECT count(*) AS n FROM ${name}`), [{ n: 4 }])
          yield* text(engine, `DROP TABLE ${name}`)
        }
        yield* text(engine, "CREATE TABLE notes (a INTEGER, t VARCHAR)")
        for (const name of ["summary", "query", "checkpoint", "glob", "finalize", "list_aggregate"]) {
          for (const query of [
            `INSERT INTO notes VALUES (1, 'Please ${name} (again)'), (2, '${name}()')`,
            `INSERT INTO notes VALUES (1, 'it''s "${name}" (x)') /* ${name} (y) */`,
            `INSERT INTO notes SELECT 3, $$${name} (x)$$ -- ${name} (`,
            `INSERT INTO notes SELECT 3, e'\\'${name} (x)'`,
            `UPDATE notes SET t = '${name} -- (x)' WHERE t LIKE '%${name} (%'`,
            `CREATE OR REPLACE VIEW v AS SELECT '${name} (x)' AS "my ${name} (y)" FROM notes`
          ]) {
            yield* text(engine, query)
          }
        }
        yield* text(engine, "INSERT INTO notes VALUES (1, 'see pg_settings and duckdb_logs') -- pg_views")
        yield* text(engine, "INSERT INTO notes VALUES (1, 'one\ntwo'),\n(2, 'pg')")
      })
    )
  )

  it.effect("hide no call and no view", () =>
    withEngine({ readWrite: true }, (engine) =>
      Effect.gen(function* () {
        yield* text(engine, "CREATE TABLE summary (a INTEGER, t VARCHAR)")
        for (const query of [
          "INSERT INTO summary (a) SELECT 1 FROM query('x')",
          "INSERT INTO summary (a) SELECT 1 FROM query (a)",
          "INSERT INTO summary (a) SELECT query(1)",
          "INSERT INTO summary VALUES (1, 'query (' || query('x') || ') query (')",
          "INSERT INTO summary VALUES (1, ''), (2, 'query ('), (3, query('), (4, '))",
          "INSERT INTO summary VALUES (1, e'\\'query ('), (3, query('), (4, '))",
          "INSERT INTO summary VALUES (1, '\\'), (3, query('), (4, '))",
          "INSERT INTO summary SELECT 1, $a$ ' $a$ FROM query(' $b$ ')",
          "INSERT INTO summary SELECT 1 AS a$$, '' FROM query(' $$ ')",
          "INSERT INTO summary SELECT 1, '--' FROM query('x')",
          "INSERT INTO summary SELECT 1 /* /* ' */ ' */ FROM query('x')",
          'INSERT INTO summary SELECT 1 AS "a""", 2 FROM "query"(\'"\')',
          'INSERT INTO summary SELECT 1 FROM main."query" (a)',
          'INSERT INTO summary FROM "memory". main .query()',
          "UPDATE summary SET a = t.query()",
          "DELETE FROM summary USING query (a)",
          "MERGE INTO summary USING query (a) ON true WHEN MATCHED THEN DELETE",
          "CREATE VIEW v(query) AS FROM query(a)",
          "CREATE VIEW query(a) AS FROM query(a)",
          "CREATE MACRO m(a) AS TABLE FROM query(a)",
          "CREATE MACRO m(a) AS query(a)",
          "CREATE MACRO query(a) AS a",
          "CREATE TABLE query(a INTEGER DEFAULT query(a))",
          "CALL query(a)"
        ]) {
          yield* refused(engine, query, "query")
        }
        for (const table of ["'pg_settings'", '"pg_settings"', "$$pg_settings$$", "pg_catalog.pg_settings"]) {
          yield* refused(
            engine,
            `INSERT INTO summary SELECT 1, 'pg_settings are' FROM ${table}`,
            "pg_settings"
          )
        }
        for (const name of ["pg_\\x73ettings", "pg_\\163ettings", "pg_\\563ettings", "\\pg_settings"]) {
          yield* refused(engine, `INSERT INTO summary SELECT 1, name FROM e'${name}'`, "pg_settings")
          yield* refused(engine, `CREATE VIEW v AS SELECT 'of pg_settings' FROM E'${name}'`, "pg_settings")
        }
        yield* refused(engine, "CREATE TABLE e'pg_\\x63lass' AS SELECT 1 AS a", "another name")
        for (const pieces of [
          "'pg_'\n'settings'",
          "'pg_' -- '\n -- '\n\u00a0'set'\r'tings'",
          "e'\\x70'\n'g_settings'"
        ]) {
          yield* refused(engine, `INSERT INTO summary SELECT 1, name FROM ${pieces}`, "in another line")
        }
      })
    )
  )
})

describe("macros of the served database", () => {
  it.effect("may be called, under names that are not DuckDB's own", () =>
    withEngine({ readWrite: true }, (engine) =>
      Effect.gen(function* () {
        yield* text(engine, "CREATE MACRO twice(x) AS 2 * x")
        yield* text(engine, "CREATE MACRO Upto(n) AS TABLE FROM range(n) t(i)")
        assert.deepStrictEqual(yield* rows(engine, "SELECT twice(i)::INTEGER AS a FROM UPTO(2)"), [
          { a: 0 },
          { a: 2 }
        ])
        yield* text(engine, "CREATE TYPE mood AS ENUM ('good')")
        for (const name of ["concat", "CONCAT", '"concat"', "main.lower", '"+"', '"||"', "sum", "isfinite"]) {
          yield* refused(engine, `CREATE OR REPLACE MACRO ${name}(a, b) AS 'x'`, "another name")
          yield* refused(engine, `CREATE /**/ FUNCTION ${name}(a) AS (a), (a, b) AS a`, "another name")
        }
        yield* refused(engine, "CREATE MACRO range(a) AS TABLE SELECT 1", "another name")
        yield* refused(engine, "CREATE TYPE json AS INTEGER", "another name")
        assert.deepStrictEqual(yield* rows(engine, "SELECT 1 + 1 AS a"), [{ a: 2 }])
      })
    )
  )
})

describe("calls of macros within each other", () => {
  const nested = (count: number, before: string, inner: string, after: string) =>
    `SELECT ${before.repeat(count)}${inner}${after.repeat(count)} AS v`

  for (const readWrite of [false, true]) {
    it.effect(`are counted by the uses of their arguments${readWrite ? ", with readWrite" : ""}`, () =>
      Effect.gen(function* () {
        const database = join(yield* Folder.make, "macros.duckdb")
        const instance = yield* Effect.promise(() => DuckDBInstance.create(database))
        const connection = yield* Effect.promise(() => instance.connect())
        for (const sql of [
          "CREATE MACRO add2(a, b) AS a + b",
          "CREATE MACRO more(A) AS add2(a, 1), (a, b) AS add2(b, a)",
          "CREATE MACRO twice(a) AS add2(a, a)",
          "CREATE MACRO many(a) AS [twice(a), add2(a, a), twice(1)]",
          "CREATE MACRO most(a) AS (SELECT max(a))",
          "CREATE MACRO upto(n) AS TABLE FROM range(n) t(i)"
        ]) {
          yield* Effect.promise(() => connection.run(sql))
        }
        connection.disconnectSync()
        instance.closeSync()
        yield* withEngine({ database, readWrite }, (engine) =>
          Effect.gen(function* () {
            assert.deepStrictEqual(yield* rows(engine, nested(60, "add2(", "1", ", 1)")), [{ v: 61 }])
            assert.deepStrictEqual(yield* rows(engine, nested(30, "more(", "1", ")")), [{ v: 31 }])
            yield* text(engine, "SELECT add2(i, 1) FROM upto(more(more(more(3))))")
            for (const query of [nested(20, "twice(", "1", ")"), nested(16, "more(twice(", "1", "))")]) {
              const { code, message } = yield* failure(engine, query)
              assert.strictEqual(code, "invalid_query", query)
              assert.include(message, "parts", query)
            }
            const { message } = yield* failure(engine, nested(12, "most((SELECT ", "1", "))"))
            assert.include(message, "plans twice")
            // Each names its argument four times.
            const size = yield* failure(engine, nested(9, "many(", "1", ")[1]"))
            assert.include(size.message, "parts")
            const missing = yield* failure(engine, nested(9, "nowhere(", "1", ")"))
            assert.strictEqual(missing.code, "not_found")
          })
        )
      })
    )
  }
})

describe("tables, views and schemas of clients", () => {
  it.effect("do not take the places of DuckDB's own", () =>
    withEngine({ readWrite: true }, (engine) =>
      Effect.gen(function* () {
        yield* text(engine, "CREATE TABLE t AS SELECT 1 AS a")
        yield* text(engine, "CREATE VIEW v AS FROM t")
        for (const sql of [
          "CREATE VIEW duckdb_columns AS SELECT 1 AS a",
          "CREATE VIEW duckdb_tables AS SELECT * REPLACE ('forged' AS table_name) FROM system.main.duckdb_tables()",
          'CREATE OR REPLACE VIEW main."Pg_Class" AS SELECT 1 AS a',
          "CREATE TABLE IF NOT EXISTS /**/ pg_type (a INTEGER)",
          "CREATE TABLE pg_constraint AS FROM t",
          "ALTER TABLE t RENAME TO duckdb_Tables",
          "ALTER TABLE v RENAME TO pg_type",
          "ALTER VIEW v RENAME TO pg_type",
          "CREATE SCHEMA temp",
          'CREATE SCHEMA IF NOT EXISTS "System"',
          "CREATE SCHEMA memory.pg_catalog",
          "CREATE SCHEMA memory"
        ]) {
          yield* refused(engine, sql, "another name")
        }
        const untyped = { parameters: ["x"] }
        for (const sql of ["TABLE pg_class AS SELECT $1 AS a", "TYPE json AS ENUM (SELECT $1)"]) {
          const { message } = yield* failure(engine, `CREATE ${sql}`, untyped)
          assert.include(message, "cannot be judged")
        }
        yield* text(engine, "CREATE TABLE views (pg_class INTEGER)")
        yield* text(engine, "CREATE TABLE copied AS FROM duckdb_columns()")
        yield* text(engine, "CREATE TABLE given AS SELECT $1 AS a", untyped)
        yield* text(engine, "CREATE TYPE mood AS ENUM (SELECT $1)", untyped)
        yield* text(engine, "CREATE SCHEMA IF NOT EXISTS main")
        yield* text(engine, "CREATE SCHEMA own")
        assert.deepStrictEqual(yield* rows(engine, "SHOW TABLES"), [
          { name: "copied" },
          { name: "given" },
          { name: "t" },
          { name: "v" },
          { name: "views" }
        ])
      })
    )
  )
})

describe("what describes tables", () => {
  it.effect("is there for clients, and does not show the engine's own database", () =>
    withEngine({ sample: true }, (engine) =>
      Effect.gen(function* () {
        for (const query of [
          "SHOW TABLES",
          "SHOW ALL TABLES",
          "SHOW DATABASES",
          "DESCRIBE trades",
          "SUMMARIZE trades",
          "FROM information_schema.tables",
          "FROM information_schema.columns",
          "FROM information_schema.schemata",
          "FROM duckdb_tables()",
          "FROM duckdb_columns()",
          "FROM duckdb_schemas()",
          "FROM pg_catalog.pg_class",
          "FROM pg_database",
          "PRAGMA show_tables",
          "PRAGMA table_info('trades');"
        ]) {
          const found = yield* text(engine, query)
          assert.notStrictEqual(found, "[]", query)
          assert.notInclude(found, Sentinel.database, query)
        }
      })
    )
  )
})
