/** What a write and its answer say of each other, asked of the engine as a connection would. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as Failure from "../../src/engine/duckdb/Failure.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import { ask, type Engine, failure, rows, withEngine } from "./duckdbEngine.ts"

const init = (engine: Engine, query: string) => engine.init(QueryApi.encodeRequest({ query }))

const formats = QueryApi.Format.literals

/** Runs a statement to the end of its result, and lets it go without its commit. */
const withoutCommit = (engine: Engine, query: string, format: QueryApi.Format = "application/json") =>
  Effect.scoped(
    Effect.gen(function* () {
      const { chunks } = yield* engine.init(QueryApi.encodeRequest({ query, format }))
      yield* Stream.runDrain(chunks)
    })
  )

const state = (engine: Engine) =>
  rows(
    engine,
    `SELECT (SELECT list(v ORDER BY v) FROM t) AS v, (SELECT count(*) FROM duckdb_tables()) AS tables,
      (SELECT count(*) FROM duckdb_columns() WHERE table_name = 't') AS columns, (SELECT count(*) FROM duckdb_indexes()) AS indexes`
  )

const writing = [
  "INSERT INTO t VALUES (3), (4)",
  "INSERT INTO t VALUES (3) RETURNING v",
  "INSERT INTO t SELECT range + 10 FROM range(10000) RETURNING v",
  "UPDATE t SET v = v + 1 RETURNING v",
  "DELETE FROM t",
  "MERGE INTO t USING (SELECT 1 AS v) AS s ON t.v = s.v WHEN MATCHED THEN DELETE RETURNING v",
  "TRUNCATE t",
  "CREATE TABLE u AS SELECT 1 AS a",
  "ALTER TABLE t ADD COLUMN w INTEGER",
  "CREATE INDEX i ON t(v)",
  "DROP TABLE t2",
  "EXPLAIN ANALYZE INSERT INTO t VALUES (3)"
]

describe("a statement that writes", () => {
  it.live("changes nothing before its commit, and all with it", () =>
    withEngine({ readWrite: true }, (engine) =>
      Effect.gen(function* () {
        for (const query of writing) {
          yield* ask(engine, "CREATE OR REPLACE TABLE t AS SELECT unnest([1, 2])::BIGINT AS v")
          yield* ask(engine, "CREATE OR REPLACE TABLE t2(a INTEGER)")
          const before = yield* state(engine)
          for (const format of [formats[0], formats[4]]) yield* withoutCommit(engine, query, format)
          assert.deepStrictEqual(yield* state(engine), before, query)
          yield* ask(engine, query)
          assert.notDeepEqual(yield* state(engine), before, query)
        }
      })
    )
  )

  it.live("stores nothing when its result cannot be encoded", () =>
    withEngine({ readWrite: true, maxRowSize: 1000, maxResultRows: 100 }, (engine) =>
      Effect.gen(function* () {
        yield* ask(engine, "CREATE TABLE h(v HUGEINT, s VARCHAR)")
        for (const [query, format] of [
          ["INSERT INTO h VALUES (170141183460469231731687303715884105727, '') RETURNING v", formats[4]],
          ["INSERT INTO h VALUES (1, repeat('x', 2000)) RETURNING s", formats[0]],
          ["INSERT INTO h SELECT range, '' FROM range(200) RETURNING v", formats[1]]
        ] as const) {
          const { code, type } = yield* failure(engine, query, { format })
          assert.deepStrictEqual([type, code], ["E", "execution_failed"], query)
        }
        assert.deepStrictEqual(yield* rows(engine, "SELECT count(*) AS n FROM h"), [{ n: 0 }])
      })
    )
  )

  it.live("stores nothing when it is interrupted", () =>
    withEngine({ readWrite: true }, (engine) =>
      Effect.gen(function* () {
        yield* ask(engine, "CREATE TABLE t(v BIGINT)")
        const connections = rows(engine, "SELECT count::INTEGER AS n FROM duckdb_connection_count()")
        const before = JSON.stringify(yield* connections)
        const query = "INSERT INTO t SELECT a.range FROM range(100000) a, range(1000000) b RETURNING v"
        const fiber = yield* Effect.forkChild(ask(engine, query), { startImmediately: true })
        while (JSON.stringify(yield* connections) === before) yield* Effect.yieldNow
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(yield* rows(engine, "SELECT count(*) AS n FROM t"), [{ n: 0 }])
      })
    )
  )

  it.live("to a field of a column costs nobody the database, whatever the column's name", () =>
    withEngine({ readWrite: true }, (engine) =>
      Effect.gen(function* () {
        yield* ask(engine, 'CREATE SCHEMA "a b"')
        yield* ask(engine, 'CREATE TABLE "a b".t(s STRUCT(a INTEGER, b INTEGER), "O""k" STRUCT(a INTEGER))')
        const told = (query: string) => Effect.map(failure(engine, query), ({ code }) => code)
        for (const query of [
          'ALTER TABLE "a b".t ADD COLUMN nosuch.z INTEGER',
          ';alter table"a b".t add if not exists nosuch.z.w INTEGER',
          'ALTER TABLE ONLY ("a b" . t) ADD COLUMN nosuch.z INTEGER DEFAULT 1+1',
          'ALTER TABLE IF EXISTS "a b".t /* a /* b */ */ ADD "no.such"\u00a0-- c\n. z INTEGER',
          'EXPLAIN ANALYZE ALTER TABLE "a b".t ADD COLUMN rowid.z INTEGER'
        ]) {
          assert.strictEqual(yield* told(query), "not_found", query)
        }
        for (const change of ["ADD COLUMN S.z INTEGER", "DROP S.a", 'RENAME COLUMN "o""k".a TO c']) {
          assert.strictEqual(yield* told(`ALTER TABLE "a b".t ${change}`), "invalid_query", change)
        }
        for (const change of [
          "ADD COLUMN s.z INTEGER DEFAULT 1+1",
          "DROP s.A",
          'RENAME COLUMN "O""k".a TO c',
          "DROP COLUMN IF EXISTS nosuch.z"
        ]) {
          yield* ask(engine, `ALTER TABLE "a b".t ${change}`)
        }
        yield* ask(engine, "ALTER TABLE IF EXISTS nosuch ADD COLUMN s.z INTEGER")
        assert.deepStrictEqual(
          yield* rows(engine, 'SELECT typeof(s) AS s, typeof("O""k") AS k FROM "a b".t'),
          []
        )
      })
    )
  )

  it.live("to a file leaves the one that was there when it fails or is interrupted", () =>
    Effect.gen(function* () {
      const directory = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "dataconn-test-"))),
        (path) => Effect.sync(() => rmSync(path, { recursive: true }))
      )
      const path = join(directory, "a.csv")
      yield* withEngine({ readWrite: true, allowExternalAccess: true }, (engine) =>
        Effect.gen(function* () {
          const copy = (rows: string) => ask(engine, `COPY (SELECT ${rows}) TO '${path}'`)
          yield* copy("1 AS old")
          yield* Effect.flip(copy("CASE WHEN i = 1000000 THEN error('boom') END FROM range(2000000) t(i)"))
          const fiber = yield* Effect.forkChild(copy("i FROM range(1000000000) t(i)"), {
            startImmediately: true
          })
          while (readdirSync(directory).length === 1) yield* Effect.yieldNow
          yield* Fiber.interrupt(fiber)
          assert.deepStrictEqual(readdirSync(directory), ["a.csv"])
          assert.strictEqual(readFileSync(path, "utf8"), "old\n1\n")
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("that meets another one fails, to be tried again", () =>
    withEngine({ readWrite: true }, (engine) =>
      Effect.gen(function* () {
        yield* ask(engine, "CREATE TABLE t(v INTEGER PRIMARY KEY, n INTEGER)")
        yield* ask(engine, "INSERT INTO t VALUES (1, 0)")
        const conflicts: ReadonlyArray<readonly [first: string, second: string]> = [
          ["UPDATE t SET n = 1 WHERE v = 1", "UPDATE t SET n = 2 WHERE v = 1"],
          ["DELETE FROM t WHERE v = 1", "DELETE FROM t WHERE v = 1"],
          ["CREATE TABLE u(a INTEGER)", "CREATE TABLE u(a INTEGER)"],
          // Only the commit finds these.
          ["INSERT INTO t VALUES (2, 0)", "INSERT INTO t VALUES (2, 1)"],
          ["DROP TABLE u", "INSERT INTO u VALUES (1)"]
        ]
        for (const [first, second] of conflicts) {
          const error = yield* Effect.scoped(
            Effect.gen(function* () {
              const one = yield* init(engine, first)
              const other = yield* init(engine, second)
              const runsBefore = /^INSERT/.test(second)
              yield* Stream.runDrain(one.chunks)
              if (runsBefore) yield* Stream.runDrain(other.chunks)
              yield* one.commit ?? Effect.void
              if (!runsBefore) yield* Stream.runDrain(other.chunks)
              yield* other.commit ?? Effect.void
            })
          ).pipe(Effect.flip)
          assert.strictEqual(error._tag, "QueryFailed", second)
          if (error._tag !== "QueryFailed") continue
          const { code, message, retryable } = QueryApi.decodeError(error.payload)
          assert.deepStrictEqual([code, retryable], ["execution_failed", true], `${second}: ${message}`)
        }
        const { message, retryable } = yield* Effect.flip(ask(engine, "INSERT INTO t VALUES (2, 5)"))
        assert.match(message, /violates primary key/)
        assert.isFalse(retryable)
      })
    )
  )

  for (const [type, message, retryable] of [
    ["TransactionContext", "Cannot create index with outstanding updates", true],
    [
      "TransactionContext",
      'Transaction conflict: attempting to insert into table "n" but it has been altered by a different transaction',
      true
    ],
    [
      "TransactionContext",
      'Failed to commit: Could not commit creation of dependency, subject "a" has been deleted',
      true
    ],
    ["TransactionContext", 'Failed to commit: Could not write file "f": No space left on device', false],
    ["Constraint", 'Duplicate key "v: 2" violates primary key constraint.', false]
  ] as const) {
    it(`that fails with "${message}" may ${retryable ? "" : "not "}be tried again`, () => {
      assert.strictEqual(Failure.toError({ type, message, offset: undefined }).retryable, retryable)
    })
  }
})
