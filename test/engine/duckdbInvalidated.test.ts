/**
 * What becomes of an instance that DuckDB gives up after an error that it thinks fatal.
 */
import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { DuckDBInstance } from "@duckdb/node-api"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Stream from "effect/Stream"
import * as Database from "../../src/engine/duckdb/Database.ts"
import * as Session from "../../src/engine/duckdb/Session.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import { isIsolated } from "../support/DuckDbEngines.ts"
import * as Folder from "../support/Folder.ts"
import { fatal, forget, invalidate } from "../support/Invalidate.ts"
import { rows, withEngine } from "./duckdbEngine.ts"

/** Sessions as the engine opens them, without its check of statements. */
const opened = Effect.fnUntraced(function* (options: Database.DuckDbOptions) {
  const database = yield* Database.open(options)
  const session = Session.open(database.instance, {
    ...database.session,
    transaction: options.readWrite === true ? "none" : "read only"
  })
  const inOne = (sql: string, begun: Effect.Effect<unknown> = Effect.void) =>
    Effect.scoped(
      Effect.gen(function* () {
        const open = yield* session
        const rows = open.begin(async (connection) => (await connection.run(sql)).getRowObjectsJson())
        yield* begun
        return yield* rows
      })
    )
  return { inOne }
})

const files = Effect.gen(function* () {
  const folder = yield* Folder.make
  const csv = join(folder, "a.csv")
  const database = join(folder, "base.duckdb")
  writeFileSync(csv, "id\n1\n")
  yield* Effect.promise(async () => {
    const instance = await DuckDBInstance.create(database)
    const connection = await instance.connect()
    await connection.run("CREATE TABLE stored AS SELECT 7 AS n")
    connection.disconnectSync()
    instance.closeSync()
  })
  return { csv, database }
})

type Files = Effect.Success<typeof files>

describe("an instance that DuckDB has given up is opened again", () => {
  it.live.each<[mode: string, options: (files: Files) => Database.DuckDbOptions, query: string]>([
    ["the sample", () => ({ sample: true }), "SELECT 1 AS ok FROM trades LIMIT 1"],
    ["files", ({ csv }) => ({ tables: { a: csv } }), "SELECT 1 AS ok FROM a"],
    ["a database", ({ database }) => ({ database }), "SELECT 1 AS ok FROM stored"],
    ["both", ({ csv, database }) => ({ database, tables: { a: csv } }), "SELECT 1 AS ok FROM stored, a"],
    [
      "a database that may be changed",
      ({ database }) => ({ database, readWrite: true }),
      "SELECT 1 AS ok FROM stored"
    ]
  ])("%s", ([, options, query]) =>
    Effect.gen(function* () {
      const { inOne } = yield* opened(options(yield* files))
      for (let round = 0; round < 3; round++) {
        assert.deepStrictEqual(yield* inOne(query), [{ ok: 1 }])
        yield* Effect.flip(inOne(fatal))
      }
      // As many as come at once, of which only the first finds it out.
      const answers = yield* Effect.all(
        Array.from({ length: 8 }, () => inOne(query)),
        { concurrency: "unbounded" }
      )
      for (const answer of answers) assert.deepStrictEqual(answer, [{ ok: 1 }])
    })
  )

  it.live("without the tables whose files are gone", () =>
    Effect.gen(function* () {
      const { csv, database } = yield* files
      const { inOne } = yield* opened({ database, tables: { a: csv } })
      rmSync(csv)
      yield* Effect.flip(inOne(fatal))
      assert.deepStrictEqual(yield* inOne("SELECT n FROM stored"), [{ n: 7 }])
    })
  )

  it.live("with all that had been committed to its file", () =>
    Effect.gen(function* () {
      const { database } = yield* files
      const { inOne } = yield* opened({ database, readWrite: true })
      yield* inOne("INSERT INTO stored VALUES (8)")
      yield* Effect.flip(inOne(fatal))
      yield* inOne("INSERT INTO stored VALUES (9)")
      assert.deepStrictEqual(yield* inOne("SELECT n FROM stored ORDER BY n"), [{ n: 7 }, { n: 8 }, { n: 9 }])
    })
  )

  it.live("once what runs on it has been told, although that would have gone on for hours", () =>
    Effect.gen(function* () {
      const { database } = yield* files
      const { inOne } = yield* opened({ database, readWrite: true })
      const begun = yield* Latch.make()
      const running = yield* Effect.forkChild(
        Effect.flip(
          inOne("SELECT sum(a.range * b.range) FROM range(10000000) AS a, range(10000000) AS b", begun.open)
        )
      )
      yield* begun.await
      yield* Effect.flip(inOne(fatal))
      // Two may not have the file open to write, so this one waits for the other to end.
      assert.deepStrictEqual(yield* inOne("SELECT count(*)::INTEGER AS n FROM stored"), [{ n: 1 }])
      assert.match((yield* Fiber.join(running)).message, /^The database failed by the fault of another query/)
    })
  )

  it.live.skipIf(isIsolated)(
    "and what is asked through the engine is answered; a query that was under way ends with an error",
    () => {
      forget()
      return withEngine({ sample: true }, (engine) =>
        Effect.gen(function* () {
          const query = "SELECT sum(a.range * b.range) FROM range(10000000) AS a, range(10000000) AS b"
          const accepted = yield* engine.init(QueryApi.encodeRequest({ query }))
          yield* Effect.promise(invalidate)
          assert.deepStrictEqual(yield* rows(engine, "SELECT count(*) AS n FROM trades"), [{ n: 100_000 }])
          const error = yield* Effect.flip(Stream.runDrain(accepted.chunks))
          const { code, retryable } = QueryApi.decodeError(error.payload)
          assert.deepStrictEqual({ code, retryable }, { code: "engine_lost", retryable: true })
        })
      )
    }
  )
})

describe("a database in memory that clients may change", () => {
  it.live.skipIf(isIsolated)("leaves only the outcome of what changes something open when it is lost", () => {
    forget()
    return withEngine({ readWrite: true }, (engine) =>
      Effect.gen(function* () {
        const commitOf = Effect.fnUntraced(function* (query: string) {
          const { chunks, commit = Effect.void } = yield* engine.init(QueryApi.encodeRequest({ query }))
          yield* Stream.runDrain(chunks)
          return commit
        })
        const commits = [yield* commitOf("SELECT 1"), yield* commitOf("CREATE TABLE t(a INTEGER)")]
        yield* Effect.promise(invalidate)
        const errors = yield* Effect.forEach(commits, Effect.flip)
        assert.deepStrictEqual(
          errors.map(({ payload }) => {
            const { code, message, retryable } = QueryApi.decodeError(payload)
            return [code, retryable, message]
          }),
          [
            ["engine_lost", true, "The database failed by the fault of another query"],
            [
              "unknown_outcome",
              false,
              "The changes may be there or not: The database failed by the fault of another query"
            ]
          ]
        )
      })
    )
  })

  it.live("is lost with it, and that is told once", () =>
    Effect.gen(function* () {
      let lost = 0
      const { inOne } = yield* opened({
        readWrite: true,
        onLost: () => {
          lost++
        }
      })
      yield* inOne("CREATE TABLE mine AS SELECT 1 AS a")
      yield* Effect.flip(inOne(fatal))
      for (let again = 0; again < 2; again++) {
        assert.match((yield* Effect.flip(inOne("FROM mine"))).message, /^The database failed by the fault/)
      }
      assert.strictEqual(lost, 1)
    })
  )
})
