import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { homedir, tmpdir } from "node:os"
import { join } from "node:path"
import { DuckDBInstance } from "@duckdb/node-api"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Failure from "../../src/engine/duckdb/Failure.ts"
import * as Functions from "../../src/engine/duckdb/Functions.ts"
import type { DuckDbOptions } from "../../src/engine/duckdb/index.ts"
import * as Plan from "../../src/engine/duckdb/Plan.ts"
import { queryError } from "../../src/engine/QueryApi.ts"
import { some } from "../support/Long.ts"
import { type Engine, failure, rows, text, withEngine } from "./duckdbEngine.ts"

/** Files in a directory whose name is longer than a plan's boxes are wide. */
const secret = "a-directory-that-no-client-is-to-see"

const directory = Effect.acquireRelease(
  Effect.promise(async () => {
    const path = mkdtempSync(join(tmpdir(), `dataconn-test-${secret}-`))
    writeFileSync(join(path, "a.csv"), "id,name\n1,one\n2,two\n")
    writeFileSync(join(path, "bad.csv"), `id\n${"1\n".repeat(60_000)}oops\n`)
    writeFileSync(join(path, "part-1.ndjson"), '{"id":1}\n')
    writeFileSync(join(path, "gone.csv"), "id\n1\n")
    writeFileSync(join(path, "unlisted.csv"), "id\n1\n")
    const instance = await DuckDBInstance.create(join(path, "base.duckdb"))
    const connection = await instance.connect()
    await connection.run("CREATE TABLE stored AS SELECT 7 AS n")
    await connection.run(`CREATE VIEW elsewhere AS FROM read_csv('${join(path, "unlisted.csv")}')`)
    await connection.run(`COPY (SELECT 3 AS id) TO '${join(path, "a.parquet")}'`)
    connection.disconnectSync()
    instance.closeSync()
    return path
  }),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

const modes = (path: string): Readonly<Record<string, DuckDbOptions>> => {
  const tables = {
    a: join(path, "a.csv"),
    bad: join(path, "bad.csv"),
    parts: join(path, "part-*.ndjson"),
    pq: join(path, "a.parquet"),
    gone: join(path, "gone.csv")
  }
  const database = join(path, "base.duckdb")
  return {
    sample: { sample: true },
    tables: { tables, sample: true },
    attached: { tables: { base: database } },
    database: { database },
    both: { database, tables },
    readWrite: { database, readWrite: true }
  }
}

/** The whole answer, be it a result or an error. */
const answer = (engine: Engine, query: string) =>
  Effect.map(Effect.exit(text(engine, query)), (exit) =>
    Exit.isSuccess(exit) ? exit.value : String(exit.cause)
  )

const internalViews =
  "SELECT table_schema || '.' || table_name AS name FROM information_schema.tables WHERE table_schema IN ('pg_catalog', 'information_schema')"

for (const mode of some(["both", "sample", "tables", "readWrite", "attached", "database"], 3)) {
  describe(`a server of ${mode}`, () => {
    it.effect("shows no path in any table, view or function that clients may read", () =>
      Effect.gen(function* () {
        const path = yield* directory
        yield* withEngine(modes(path)[mode] ?? {}, (engine) =>
          Effect.gen(function* () {
            const listed = yield* rows(
              engine,
              "SELECT DISTINCT schema_name || '.' || function_name AS name FROM duckdb_functions() WHERE function_type LIKE 'table%' AND len(parameters) = 0"
            )
            const functions = (listed as ReadonlyArray<{ name: string }>).map(({ name }) => name)
            assert.isAbove(functions.length, 10)
            const views = (yield* rows(engine, internalViews)) as ReadonlyArray<{ name: string }>
            const queries = [
              ...functions.map((name) => `FROM ${name}()`),
              ...[...Functions.tables].map((name) => `FROM ${name}()`),
              ...[...Functions.hiddenViews].map((name) => `FROM ${name}`),
              ...[...Functions.hiddenViews].map((name) => `SUMMARIZE ${name}`),
              ...views.map(({ name }) => `FROM ${name}`),
              ...["tables", "columns", "views", "schemata"].map((name) => `FROM information_schema.${name}`),
              ...["duckdb_tables", "duckdb_columns", "duckdb_schemas", "duckdb_types"].map(
                (name) => `FROM ${name}`
              ),
              ...["pg_class", "pg_database", "pg_tables", "pg_indexes", "pg_tablespace"].map(
                (name) => `FROM ${name}`
              ),
              "SHOW DATABASES",
              "SHOW ALL TABLES",
              "PRAGMA database_list",
              "PRAGMA database_size",
              "SELECT pg_get_viewdef(1)",
              "SELECT current_setting('temp_directory')",
              "SELECT filename FROM a",
              "EXPLAIN FROM a, parts, pq",
              "EXPLAIN ANALYZE FROM a, parts, pq",
              "EXPLAIN (ANALYZE, FORMAT json) FROM a, parts, pq",
              "EXPLAIN (FORMAT html) FROM a, parts, pq",
              "EXPLAIN ANALYZE FROM stored"
            ]
            for (const query of queries) {
              const found = yield* answer(engine, query)
              for (const part of [path, secret, "directory-that", "/dataconn-"])
                assert.notInclude(found, part, query)
            }
          })
        )
      }).pipe(Effect.scoped)
    )
  })
}

describe("an error", () => {
  it.effect("names the table of a file that is gone or malformed, not its path", () =>
    Effect.gen(function* () {
      const path = yield* directory
      yield* withEngine(modes(path)["both"] ?? {}, (engine) =>
        Effect.gen(function* () {
          rmSync(join(path, "gone.csv"))
          rmSync(join(path, "part-1.ndjson"))
          for (const [query, mention] of [
            ["FROM gone", "gone"],
            ["EXPLAIN FROM gone", "gone"],
            ["DESCRIBE gone", "gone"],
            ["FROM parts", "parts"],
            ["SELECT sum(id) FROM bad", "bad"]
          ] as const) {
            for (const format of ["application/json", "application/vnd.apache.parquet"] as const) {
              const error = yield* failure(engine, query, { format })
              assert.include(error.message, mention)
              assert.notInclude(error.message, secret)
            }
          }
        })
      )
    }).pipe(Effect.scoped)
  )

  it.effect("shows no path that nobody named", () =>
    Effect.gen(function* () {
      const path = yield* directory
      yield* withEngine({ database: join(path, "base.duckdb") }, (engine) =>
        Effect.gen(function* () {
          const error = yield* failure(engine, "FROM elsewhere")
          assert.notInclude(error.message, secret)
          assert.include(error.message, "<path>")
        })
      )
      yield* withEngine({ readWrite: true }, (engine) =>
        Effect.map(failure(engine, "CREATE PERSISTENT SECRET s (TYPE http)"), ({ message }) => {
          assert.notInclude(message, homedir())
        })
      )
    }).pipe(Effect.scoped)
  )

  it("keeps the paths that the client wrote", () => {
    const hide = (query: string, message: string) =>
      Failure.conceal([["/srv/a.csv", "a"]], query, queryError("invalid_query", message, { position: 3 }))
    const error = hide(
      "FROM '/etc/passwd'",
      `No /etc/passwd, '/srv/a.csv' (see /usr/lib/x.so), "/srv/a b [1].csv", 6/2/3 and 1 / 2`
    )
    assert.strictEqual(error.message, `No /etc/passwd, 'a' (see <path>), "<path>", 6/2/3 and 1 / 2`)
    assert.strictEqual(error.position, 3)
    const shared = [
      ["/srv/a.csv", "every"],
      ["/srv/a.csv", "a"]
    ] as const
    const broken = queryError("execution_failed", "Malformed: /srv/a.csv")
    assert.strictEqual(Failure.conceal(shared, "FROM A", broken).message, "Malformed: a")
    assert.strictEqual(Failure.conceal(shared, "FROM every", broken).message, "Malformed: every")
  })

  it("names the setting of a disk that is full", () => {
    for (const file of ["/spill/**\\**/duckdb_temp_storage_S160K-0.tmp", "/spill/**\\**/0a1b"]) {
      const message = `Could not write to file "${file}": No space left on device`
      const error = queryError("execution_failed", message)
      assert.include(Failure.conceal([["/spill", "<directory>"]], "FROM t", error).message, "spillDirectory")
    }
  })
})

describe("Plan.hideFiles", () => {
  it("empties the cells of files, and no others", () => {
    const before = [
      "┌─────────────┐┌─────────────┐",
      "│ Filename(s):││     Text    │",
      "│ /tmp/secret-││      kept   │",
      "│  file.csv   ││             │",
      "│             ││     kept    │",
      "│   2 rows    ││ Filename(s):│",
      "└─────────────┘│ /a.csv      │"
    ]
    const after = [
      "┌─────────────┐┌─────────────┐",
      "│ Filename(s):││     Text    │",
      "│             ││      kept   │",
      "│             ││             │",
      "│             ││     kept    │",
      "│   2 rows    ││ Filename(s):│",
      "└─────────────┘│             │"
    ]
    assert.strictEqual(Plan.hideFiles(before.join("\n")), after.join("\n"))
    assert.strictEqual(Plan.hideFiles("Filename(s):\n/tmp/x"), "Filename(s):\n/tmp/x")
  })

  it("drops lines in which a cell cannot be found", () => {
    assert.strictEqual(
      Plan.hideFiles("│Filename(s):│\n│/tmp/漢字ab│\n│            │\n│ kept       │"),
      "│Filename(s):│\n\n│            │\n│ kept       │"
    )
  })

  it.effect("does not read a file by its path, so that nobody can guess where it is", () =>
    Effect.gen(function* () {
      const path = yield* directory
      const guesses = ["a.csv", join(path, "a.csv"), `file:${join(path, "a.csv")}`, "./A.CSV", "base.duckdb"]
      for (const options of Object.values(modes(path))) {
        yield* withEngine(options, (engine) =>
          Effect.gen(function* () {
            for (const guess of guesses) {
              const { code, message } = yield* failure(engine, `SELECT * FROM '${guess}'`)
              assert.deepStrictEqual(
                [code, message.includes("names tables, not files")],
                ["not_allowed", true]
              )
            }
          })
        )
      }
    }).pipe(Effect.scoped)
  )
})
