import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DuckDBInstance } from "@duckdb/node-api"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Sentinel from "../../src/engine/duckdb/Sentinel.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import { isIsolated } from "../support/DuckDbEngines.ts"
import { ask, failure, rows, text, withEngine } from "./duckdbEngine.ts"

const formats = QueryApi.Format.literals

/** A directory with a file in each form that can be served, and one that is not served. */
const directory = Effect.acquireRelease(
  Effect.promise(async () => {
    const path = mkdtempSync(join(tmpdir(), "dataconn-test-"))
    writeFileSync(join(path, "a.csv"), "id,name\n1,one\n2,two\n")
    writeFileSync(join(path, "part-1.ndjson"), '{"id":1}\n')
    writeFileSync(join(path, "part-2.ndjson"), '{"id":2}\n')
    writeFileSync(join(path, "secret.csv"), "secret\nx\n")
    const instance = await DuckDBInstance.create(join(path, "base.duckdb"))
    const connection = await instance.connect()
    await connection.run("CREATE TABLE stored AS SELECT 7 AS n")
    await connection.run(`COPY (SELECT 3 AS id) TO '${join(path, "a.parquet")}'`)
    connection.disconnectSync()
    instance.closeSync()
    return path
  }),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

describe("a served file", () => {
  it.effect("is a table under its name, whatever its form", () =>
    Effect.gen(function* () {
      const path = yield* directory
      const tables = {
        csv: join(path, "a.csv"),
        parquet: join(path, "a.parquet"),
        parts: join(path, "part-*.ndjson"),
        base: join(path, "base.duckdb")
      }
      yield* withEngine({ tables }, (engine) =>
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* rows(engine, "FROM csv"), [
            { id: 1, name: "one" },
            { id: 2, name: "two" }
          ])
          assert.deepStrictEqual(yield* rows(engine, "FROM parquet"), [{ id: 3 }])
          assert.deepStrictEqual(yield* rows(engine, "FROM parts ORDER BY id"), [{ id: 1 }, { id: 2 }])
          assert.deepStrictEqual(yield* rows(engine, "FROM base.stored"), [{ n: 7 }])
          for (const format of formats) assert.isNotEmpty(yield* ask(engine, "FROM csv", { format }))
        })
      )
    }).pipe(Effect.scoped)
  )

  it.effect("is read anew by each query", () =>
    Effect.gen(function* () {
      const path = join(yield* directory, "a.csv")
      yield* withEngine({ tables: { csv: path } }, (engine) =>
        Effect.gen(function* () {
          assert.lengthOf((yield* rows(engine, "FROM csv")) as ReadonlyArray<unknown>, 2)
          writeFileSync(path, "id,name\n1,one\n2,two\n3,three\n")
          assert.lengthOf((yield* rows(engine, "FROM csv")) as ReadonlyArray<unknown>, 3)
        })
      )
    }).pipe(Effect.scoped)
  )

  it.effect("may stand beside a database, whose tables keep their names", () =>
    Effect.gen(function* () {
      const path = yield* directory
      const options = {
        database: join(path, "base.duckdb"),
        tables: { csv: join(path, "a.csv") },
        sample: true
      }
      yield* withEngine(options, (engine) =>
        Effect.gen(function* () {
          const found = yield* rows(
            engine,
            "SELECT n, name, (SELECT count(*) FROM trades) AS t FROM stored, csv WHERE id = 1"
          )
          assert.deepStrictEqual(found, [{ n: 7, name: "one", t: 100000 }])
        })
      )
    }).pipe(Effect.scoped)
  )
})

describe("by default a query", () => {
  it.effect("cannot reach a file, a setting or a write", () =>
    Effect.gen(function* () {
      const path = yield* directory
      const served = join(path, "a.csv")
      const secret = join(path, "secret.csv")
      const before = readdirSync(path)
      yield* withEngine({ tables: { a: served }, sample: true }, (engine) =>
        Effect.gen(function* () {
          for (const query of [
            `FROM read_csv('${secret}')`,
            `FROM '${secret}'`,
            `FROM read_text('${secret}')`,
            `FROM read_blob('${secret}')`,
            `FROM glob('${path}/*')`,
            `FROM sniff_csv('${secret}')`,
            `SELECT * FROM query('FROM ''${secret}''')`,
            `ATTACH '${join(path, "base.duckdb")}'`,
            `COPY trades TO '${join(path, "out.csv")}'`,
            `COPY trades TO '${served}' (USE_TMP_FILE false)`,
            `EXPLAIN ANALYZE COPY trades TO '${served}' (USE_TMP_FILE false)`,
            `EXPLAIN (ANALYZE) COPY trades TO '${served}' (USE_TMP_FILE false)`,
            `EXPORT DATABASE '${join(path, "export")}'`,
            "INSTALL httpfs",
            "LOAD httpfs",
            "SET enable_external_access = true",
            "SET threads = 1",
            "PRAGMA threads = 1",
            "RESET threads",
            "SET streaming_buffer_size = '1GB'",
            "SET SESSION streaming_buffer_size = '1GB'",
            "SET GLOBAL streaming_buffer_size = '1GB'",
            "RESET streaming_buffer_size",
            "PRAGMA streaming_buffer_size = '1GB'",
            "SET memory_limit = '1TB'",
            "RESET memory_limit",
            "PRAGMA memory_limit = '1TB'",
            "SET allowed_configs = ['threads']",
            "SET lock_configuration = false",
            "PRAGMA enable_profiling",
            "PRAGMA verify_parallelism",
            "EXPLAIN ANALYZE SET threads = 1",
            "FROM enable_logging()",
            "SELECT 1 FROM \"Enable_Logging\" /* */ (level = 'debug')",
            "FROM system.main.disable_logging()",
            "FROM truncate_duckdb_logs()",
            "FROM enable_profiling()",
            "FROM force_checkpoint()",
            "FROM query('FROM enable_log' || 'ging()')",
            "FROM json_execute_serialized_sql(json_serialize_sql('FROM enable_logging()'))",
            "SET VARIABLE x = 1",
            "BEGIN",
            "COMMIT",
            "USE memory",
            "CREATE TABLE mine (a INTEGER)",
            "CREATE TEMP TABLE mine (a INTEGER)",
            "CREATE SECRET (TYPE http)",
            "INSERT INTO trades FROM trades",
            "EXPLAIN ANALYZE INSERT INTO trades FROM trades",
            "/* */ EXPLAIN /* */ ANALYZE DELETE FROM trades",
            "UPDATE trades SET size = 0",
            "DELETE FROM trades",
            "TRUNCATE trades",
            "DROP TABLE trades",
            "ALTER TABLE trades ADD COLUMN x INTEGER",
            "PREPARE p AS SELECT 1",
            "CALL enable_logging()",
            "CHECKPOINT",
            "VACUUM"
          ]) {
            assert.deepInclude(yield* failure(engine, query), { type: "J", code: "not_allowed" }, query)
          }
          assert.deepStrictEqual(yield* rows(engine, "SELECT count(*) AS n FROM trades"), [{ n: 100000 }])
        })
      )
      assert.deepStrictEqual(readdirSync(path), before)
      assert.strictEqual(readFileSync(served, "utf8"), "id,name\n1,one\n2,two\n")
    }).pipe(Effect.scoped)
  )

  it.effect("cannot write to a served database file", () =>
    Effect.gen(function* () {
      const database = join(yield* directory, "base.duckdb")
      const before = readFileSync(database)
      yield* withEngine({ database }, (engine) =>
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* rows(engine, "FROM stored"), [{ n: 7 }])
          assert.deepInclude(yield* failure(engine, "DELETE FROM stored"), { type: "J", code: "not_allowed" })
        })
      )
      assert.isTrue(before.equals(readFileSync(database)))
    }).pipe(Effect.scoped)
  )

  it.effect("leaves no temporary file behind, whether it succeeds or fails", () =>
    Effect.gen(function* () {
      const ours = () =>
        readdirSync(tmpdir()).filter((name) => name.startsWith("dataconn-") && !name.includes("test"))
      const before = ours()
      yield* withEngine({}, (engine) =>
        Effect.gen(function* () {
          const format = "application/vnd.apache.parquet"
          yield* ask(engine, "FROM range(10)", { format })
          yield* failure(engine, "SELECT CASE WHEN i = 9000 THEN error('no') END FROM range(10000) t(i)", {
            format
          })
          const files = ours()
            .filter((name) => !before.includes(name))
            .flatMap((name) => readdirSync(join(tmpdir(), name), { recursive: true, withFileTypes: true }))
            .filter((entry) => entry.isFile())
          assert.deepStrictEqual(files, [])
        })
      )
    })
  )
})

describe("with readWrite", () => {
  it.effect("a query may change data, which later ones see", () =>
    Effect.gen(function* () {
      const database = join(yield* directory, "base.duckdb")
      yield* withEngine({ database, readWrite: true }, (engine) =>
        Effect.gen(function* () {
          assert.strictEqual(yield* text(engine, "CREATE TABLE t (a INTEGER)"), "[]")
          assert.deepStrictEqual(yield* rows(engine, "INSERT INTO t VALUES (?), (2)", { parameters: [1] }), [
            { Count: 2 }
          ])
          assert.strictEqual(
            yield* text(engine, "UPDATE t SET a = a + 1 WHERE a = 2 RETURNING a, 'x' AS b", {
              format: "text/csv"
            }),
            "a,b\r\n3,x\r\n"
          )
          assert.deepStrictEqual(
            yield* rows(engine, "UPDATE t SET a = ? WHERE a = 3 RETURNING a", { parameters: [4] }),
            [{ a: 4 }]
          )
          assert.deepStrictEqual(yield* rows(engine, "FROM t ORDER BY a"), [{ a: 1 }, { a: 4 }])
          assert.deepInclude(yield* failure(engine, "INSERT INTO t VALUES ('x'::INTEGER)"), { type: "J" })
        })
      )
      yield* withEngine({ database }, (engine) =>
        Effect.map(rows(engine, "SELECT count(*) AS n FROM t"), (found) =>
          assert.deepStrictEqual(found, [{ n: 2 }])
        )
      )
    }).pipe(Effect.scoped)
  )

  it.effect("a query still cannot reach a file or leave state behind", () =>
    Effect.gen(function* () {
      const path = yield* directory
      yield* withEngine({ readWrite: true, tables: { a: join(path, "a.csv") } }, (engine) =>
        Effect.gen(function* () {
          for (const query of [
            `FROM read_csv('${join(path, "secret.csv")}')`,
            `COPY (SELECT 1) TO '${join(path, "a.csv")}' (USE_TMP_FILE false)`,
            `ATTACH '${join(path, "base.duckdb")}'`,
            "SET threads = 1",
            "BEGIN",
            // Each process has a name of its own for it.
            ...(isIsolated
              ? []
              : [
                  `INSERT INTO ${Sentinel.table} VALUES (true)`,
                  `DELETE FROM "${Sentinel.database.toUpperCase()}".${Sentinel.database}`
                ])
          ]) {
            assert.deepInclude(yield* failure(engine, query), { type: "J", code: "not_allowed" }, query)
          }
          // DuckDB's parser has no names with escapes.
          const escaped = `DROP TABLE U&"\\005f${Sentinel.database.slice(1)}".${Sentinel.database}`
          assert.deepInclude(yield* failure(engine, escaped), { type: "J", code: "syntax_error" })
          for (const query of [
            "CREATE TEMP TABLE mine AS SELECT $1 AS a",
            "-- a\ncreate /* b */ or replace local temporary view mine AS SELECT 1 AS a",
            "CREATE TEMP MACRO mine() AS 1",
            "CREATE TEMP SEQUENCE mine",
            "CREATE TEMP TYPE mine AS ENUM ('a')"
          ]) {
            const error = yield* failure(engine, query, { parameters: query.includes("$1") ? [1] : [] })
            assert.deepInclude(error, { type: "J", code: "not_allowed" }, query)
            assert.include(error.message, "a session of its own")
          }
          yield* ask(engine, "CREATE TABLE temporary AS SELECT 1 AS temp")
        })
      )
    }).pipe(Effect.scoped)
  )
})

describe("with allowExternalAccess", () => {
  it.effect("a query may read any file, and still not write", () =>
    Effect.gen(function* () {
      const path = yield* directory
      yield* withEngine({ allowExternalAccess: true }, (engine) =>
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* rows(engine, `FROM read_csv('${join(path, "secret.csv")}')`), [
            { secret: "x" }
          ])
          const copy = `COPY (SELECT 1) TO '${join(path, "out.csv")}'`
          assert.deepInclude(yield* failure(engine, copy), { type: "J", code: "not_allowed" })
        })
      )
    }).pipe(Effect.scoped)
  )

  it.effect("and readWrite a query runs no statements of a file", () =>
    Effect.gen(function* () {
      const path = yield* directory
      writeFileSync(join(path, "schema.sql"), "CALL enable_logging();")
      writeFileSync(join(path, "load.sql"), "")
      yield* withEngine({ allowExternalAccess: true, readWrite: true }, (engine) =>
        Effect.gen(function* () {
          for (const query of [`IMPORT DATABASE '${path}'`, `PRAGMA import_database('${path}')`]) {
            assert.deepInclude(yield* failure(engine, query), { type: "J", code: "not_allowed" }, query)
          }
        })
      )
    }).pipe(Effect.scoped)
  )
})

describe("an engine does not start", () => {
  for (const [what, options, setting] of [
    ["on a database that is not there", { database: "/nowhere/at/all.duckdb" }, "database"],
    ["with a table whose file is not there", { tables: { t: "/nowhere/at/all.csv" } }, "tables.t"],
    ["with a table of an unknown form", { tables: { t: "/etc/hostname" } }, "tables.t"],
    ["with a memory limit that is none", { memoryLimit: "much" }, "memoryLimit"],
    [
      "with a memory limit that the sample does not fit in",
      { memoryLimit: "1MB", sample: true },
      "memoryLimit"
    ],
    ["with a memory limit that is nothing", { memoryLimit: "0", sample: true }, "memoryLimit"],
    ["with a number of threads that is none", { threads: -1 }, "threads"]
  ] as const) {
    it.effect(`${what}, and says which setting to change`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(withEngine(options, () => Effect.void))
        assert.strictEqual(error.setting, setting)
        assert.include(error.message, setting)
      })
    )
  }

  it.effect("on a file that is no database, or on tables beside a writable one", () =>
    Effect.gen(function* () {
      const path = yield* directory
      const csv = join(path, "a.csv")
      const first = yield* Effect.flip(withEngine({ database: csv }, () => Effect.void))
      assert.strictEqual(first.setting, "database")
      const database = join(path, "base.duckdb")
      const second = yield* Effect.flip(
        withEngine({ database, readWrite: true, tables: { csv } }, () => Effect.void)
      )
      assert.strictEqual(second.setting, "tables")
    }).pipe(Effect.scoped)
  )
})

describe("the sample", () => {
  it.effect("has the same rows wherever it is made", () =>
    withEngine({ sample: true }, (engine) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* rows(engine, "FROM trades LIMIT 2"), [
          { ts: "2024-01-02 09:30:00", symbol: "DEF", price: 99.99, size: 214, side: "sell" },
          { ts: "2024-01-02 09:30:00.258041", symbol: "DEF", price: 100.01, size: 110, side: "sell" }
        ])
        const summary = "count(*) AS n, count(DISTINCT symbol) AS symbols, min(ts)::VARCHAR AS first"
        assert.deepStrictEqual(
          yield* rows(engine, `SELECT ${summary}, sum(size)::BIGINT AS sum FROM trades`),
          [{ n: 100000, symbols: 8, first: "2024-01-02 09:30:00", sum: 25051954 }]
        )
        assert.deepStrictEqual(
          yield* rows(
            engine,
            `SELECT ${summary}, sum(bid_size)::BIGINT AS sum, bool_and(bid < ask) AS ordered FROM quotes`
          ),
          [{ n: 100000, symbols: 8, first: "2024-01-02 09:30:00.038153", sum: 105045800, ordered: true }]
        )
      })
    )
  )
})
