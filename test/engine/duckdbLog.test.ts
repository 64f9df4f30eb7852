/** What a database file and its log keep of definitions when the engine's process is lost. */
import { copyFileSync, existsSync } from "node:fs"
import { join } from "node:path"
import { DuckDBInstance } from "@duckdb/node-api"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import * as Folder from "../support/Folder.ts"
import { ask, type Engine, failure, rows, withEngine } from "./duckdbEngine.ts"

/** A copy of a file as a process leaves it that is killed now. */
const asLeft = (path: string) =>
  Effect.map(Folder.make, (folder) => {
    const copy = join(folder, "a.duckdb")
    copyFileSync(path, copy)
    if (existsSync(`${path}.wal`)) copyFileSync(`${path}.wal`, `${copy}.wal`)
    return copy
  })

/** Runs statements in DuckDB itself. Returns the rows of the last one, and a copy as if it was killed then. */
const directly = (path: string, statements: ReadonlyArray<string>) =>
  Effect.acquireUseRelease(
    Effect.tryPromise(() => DuckDBInstance.create(path)),
    (instance) =>
      Effect.gen(function* () {
        const rows = yield* Effect.tryPromise(async () => {
          const connection = await instance.connect()
          for (const sql of statements.slice(0, -1)) await connection.run(sql)
          const rows = await connection.runAndReadAll(statements.at(-1) ?? "")
          connection.disconnectSync()
          return rows.getRowObjectsJson()
        })
        return { rows, left: yield* asLeft(path) }
      }),
    (instance) => Effect.sync(() => instance.closeSync())
  )

const newFile = Effect.map(Folder.make, (folder) => join(folder, "a.duckdb"))

/** A query that does not end before the scope closes. */
const unread = (engine: Engine) => engine.init(QueryApi.encodeRequest({ query: "FROM t" }))

describe("a log that DuckDB cannot replay when it opens the file", () => {
  it.live("is replayed, and DuckDB can open the file then", () =>
    Effect.gen(function* () {
      const { left } = yield* directly(yield* newFile, [
        "CREATE TABLE t(id INTEGER, e INTEGER, s STRUCT(x INTEGER, y INTEGER), d DATE DEFAULT current_date)",
        "INSERT INTO t(id, e, s) VALUES (1, 2, {x: 3, y: 4})",
        "CREATE MACRO m(x) AS x + 1",
        "ALTER TABLE t ALTER e TYPE VARCHAR USING concat(m(e), a.main.m(e))",
        "ALTER TABLE t DROP COLUMN s.y"
      ])
      const query = "SELECT id, e, s.x, d = current_date AS is_today FROM t"
      const expected = [{ id: 1, e: "33", x: 3, is_today: true }]
      const opened = yield* Effect.exit(directly(yield* asLeft(left), [query]))
      assert.strictEqual(opened._tag, "Failure", "DuckDB replays it itself, so `Replay` can go")
      yield* withEngine({ database: left, readWrite: true }, (engine) =>
        Effect.map(rows(engine, query), (found) => assert.deepStrictEqual(found, expected))
      )
      assert.deepStrictEqual((yield* directly(left, [query])).rows as unknown, expected)
    })
  )

  it.live("is replayed in memory only if the file may not be changed", () =>
    Effect.gen(function* () {
      const { left } = yield* directly(yield* newFile, [
        "CREATE TABLE t(id INTEGER, d DATE DEFAULT current_date)",
        "ALTER TABLE t ADD COLUMN e INTEGER"
      ])
      yield* withEngine({ database: left }, (engine) =>
        Effect.map(rows(engine, "SELECT column_name AS name FROM (DESCRIBE t)"), (found) =>
          assert.deepStrictEqual(found, [{ name: "id" }, { name: "d" }, { name: "e" }])
        )
      )
      assert.isTrue(existsSync(`${left}.wal`))
    })
  )
})

describe("a definition that has committed", () => {
  it.live("is in the file, or in a log that can be replayed", () =>
    Effect.gen(function* () {
      const database = yield* newFile
      yield* withEngine({ database, readWrite: true }, (engine) =>
        Effect.gen(function* () {
          yield* ask(engine, "CREATE TABLE t(id INTEGER, d DATE DEFAULT current_date)")
          yield* ask(engine, "ALTER TABLE t ALTER id TYPE BIGINT")
          const query = "SELECT data_type AS t FROM duckdb_columns() WHERE column_name = 'id'"
          assert.deepStrictEqual(yield* direct(database, query), [{ t: "BIGINT" }])
          yield* Effect.scoped(
            Effect.andThen(unread(engine), ask(engine, "ALTER TABLE t ALTER id TYPE TEXT"))
          )
          yield* withEngine({ database: yield* asLeft(database), readWrite: true }, (other) =>
            Effect.map(rows(other, query), (found) => assert.deepStrictEqual(found, [{ t: "VARCHAR" }]))
          )
          // With a query that keeps the former value, DuckDB would change the type of that one.
          const older = yield* Scope.make()
          yield* ask(engine, "INSERT INTO t VALUES ('1', NULL)")
          yield* Scope.provide(unread(engine), older)
          yield* ask(engine, "UPDATE t SET id = '2'")
          const typed = ask(engine, "ALTER TABLE t ALTER id TYPE INTEGER")
          const altering = yield* Effect.forkChild(typed, { startImmediately: true })
          yield* Scope.close(older, Exit.void)
          yield* Fiber.join(altering)
          assert.deepStrictEqual(yield* rows(engine, "SELECT id FROM t"), [{ id: 2 }])
          // DuckDB could not replay a log that has both. The type waits until the schema is in the file.
          const reader = yield* Scope.make()
          yield* Scope.provide(unread(engine), reader)
          yield* ask(engine, "CREATE SCHEMA s")
          const type = ask(engine, "CREATE TYPE s.e AS ENUM ('a')")
          const fiber = yield* Effect.forkChild(type, { startImmediately: true })
          yield* Scope.close(reader, Exit.void)
          yield* Fiber.join(fiber)
          assert.deepStrictEqual(yield* direct(database, "SELECT 'a'::s.e AS e"), [{ e: "a" }])
        })
      )
    })
  )
})

describe("a column", () => {
  it.live(
    "is added with an expression as its default, and not if DuckDB would make other values from its log",
    () =>
      Effect.gen(function* () {
        yield* withEngine({ database: yield* newFile, readWrite: true }, (engine) =>
          Effect.gen(function* () {
            yield* ask(engine, "CREATE TABLE t AS SELECT 1 AS a")
            yield* ask(engine, "CREATE SEQUENCE s")
            const add = "ALTER TABLE t ADD COLUMN b INTEGER DEFAULT nextval('s') ;"
            yield* Effect.scoped(
              Effect.flatMap(engine.init(QueryApi.encodeRequest({ query: add })), ({ chunks }) =>
                Stream.runDrain(chunks)
              )
            )
            yield* ask(engine, add)
            yield* ask(engine, "INSERT INTO t(a) VALUES (2)")
            assert.deepStrictEqual(yield* rows(engine, "SELECT a, b FROM t ORDER BY a"), [
              { a: 1, b: 2 },
              { a: 2, b: 3 }
            ])
            yield* ask(engine, "CREATE MACRO m(x) AS x + random()")
            for (const [sql, code] of [
              ["ALTER TABLE t ADD COLUMN c INTEGER DEFAULT 'x' || 'y'", "execution_failed"],
              ["ALTER TABLE t ADD COLUMN c INTEGER DEFAULT 1 + 1; DROP TABLE t", "invalid_query"],
              ["ALTER TABLE t ADD COLUMN c TEXT DEFAULT current_setting('temp_directory')", "not_allowed"],
              ["FROM t; FROM t; FROM t; FROM t; FROM t", "invalid_query"],
              ["ALTER TABLE t ALTER a TYPE DOUBLE USING a + random()", "not_allowed"],
              ["ALTER TABLE t ALTER a TYPE DOUBLE USING m(a)", "not_allowed"],
              ["ALTER TABLE t ADD COLUMN IF NOT EXISTS c TIMESTAMP DEFAULT current_timestamp", "not_allowed"]
            ] as const) {
              assert.strictEqual((yield* failure(engine, sql)).code, code, sql)
            }
            yield* ask(engine, "ALTER TABLE t ALTER a TYPE DOUBLE USING abs(a)")
          })
        )
      })
  )
})

const direct = (path: string, query: string) =>
  Effect.map(
    Effect.flatMap(asLeft(path), (left) => directly(left, [query])),
    ({ rows }): unknown => rows
  )
