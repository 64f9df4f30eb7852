/**
 * Parquet results: DuckDB's own export of the statement, which runs once.
 */
import { readdirSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as Database from "../../src/engine/duckdb/Database.ts"
import * as Session from "../../src/engine/duckdb/Session.ts"
import * as Limits from "../../src/engine/Limits.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import * as Folder from "../support/Folder.ts"
import { isLong } from "../support/Long.ts"
import { ask, type Engine, failure, rows, withEngine } from "./duckdbEngine.ts"

const format = "application/vnd.apache.parquet"

const filesUnder = (folder: string): ReadonlyArray<string> =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))

/** A result that is being sent: its first chunk, and the files that it has. */
const begun = (engine: Engine, query: string, spillDirectory: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { chunks } = yield* engine.init(QueryApi.encodeRequest({ query, format }))
      return yield* Stream.runHead(Stream.map(chunks, () => filesUnder(spillDirectory)))
    })
  )

describe("a Parquet result", () => {
  it.live("may be wide or have long texts within a small memory limit", () =>
    withEngine({ memoryLimit: "500MB" }, (engine) =>
      Effect.gen(function* () {
        const columns = Array.from({ length: 900 }, (_, index) => `i + ${index} AS c${index}`)
        const wide = yield* ask(engine, `SELECT ${columns.join(", ")} FROM range(3000) t(i)`, { format })
        assert.strictEqual(wide.toString("latin1", 0, 4), "PAR1")
        const long = yield* ask(engine, "SELECT repeat(md5(i::VARCHAR), 3200) AS t FROM range(400) t(i)", {
          format
        })
        assert.strictEqual(long.toString("latin1", long.length - 4), "PAR1")
      })
    )
  )

  it.live("needs no more memory than DuckDB's own export of the same", () =>
    withEngine({ memoryLimit: "520MB", threads: 2 }, (engine) =>
      Effect.gen(function* () {
        const query = "SELECT repeat(chr((65 + i % 26)::INTEGER), 100000) AS t FROM range(3000) AS x(i)"
        const bytes = yield* ask(engine, query, { format })
        assert.strictEqual(bytes.toString("latin1", bytes.length - 4), "PAR1")
      })
    )
  )

  it.live.skipIf(!isLong)("may have a row beyond the default of maxRowSize", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        const query = `SELECT repeat('x', ${Limits.defaults.maxRowSize + 1}) AS t`
        const bytes = yield* ask(engine, query, { format })
        assert.strictEqual(bytes.toString("latin1", bytes.length - 4), "PAR1")
      })
    )
  )

  it.live("has its rows counted", () =>
    withEngine({}, (engine) =>
      Effect.scoped(
        Effect.gen(function* () {
          const request = QueryApi.encodeRequest({ query: "FROM range(5000)", format })
          const { chunks, rows } = yield* engine.init(request)
          yield* Stream.runDrain(chunks)
          assert.strictEqual(rows?.(), 5000)
        })
      )
    )
  )

  it.live("runs its statement once, whether or not it fails", () =>
    withEngine({ readWrite: true }, (engine) =>
      Effect.gen(function* () {
        yield* ask(engine, "CREATE SEQUENCE s")
        yield* ask(engine, "SELECT nextval('s') AS n FROM range(10)", { format })
        assert.deepStrictEqual(yield* rows(engine, "SELECT nextval('s') AS n"), [{ n: 11 }])
        const failing = "SELECT CASE WHEN nextval('s') = 15 THEN error('no 15') END AS n FROM range(10)"
        const error = yield* failure(engine, failing, { format })
        assert.deepInclude(error, { type: "E", code: "execution_failed", message: "no 15" })
        const [{ n }] = (yield* rows(engine, "SELECT nextval('s') AS n")) as [{ n: number }]
        // One chunk is computed at a time.
        assert.isAtMost(n, 22)
      })
    )
  )

  it.live("that fails at its end has no first byte", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        const query = "SELECT CASE WHEN i = 299999 THEN error('late') END AS n FROM range(300000) t(i)"
        const received: Array<Uint8Array> = []
        const error = yield* Effect.flip(
          Effect.scoped(
            Effect.flatMap(engine.init(QueryApi.encodeRequest({ query, format })), ({ chunks }) =>
              Stream.runForEach(chunks, (chunk) => Effect.sync(() => void received.push(chunk)))
            )
          )
        )
        assert.include(JSON.stringify(error), "QueryFailed")
        assert.deepStrictEqual(received, [])
      })
    )
  )

  it.live("goes through the private directory, and leaves nothing there", () =>
    Effect.gen(function* () {
      const spillDirectory = yield* Folder.make
      yield* withEngine({ spillDirectory }, (engine) =>
        Effect.gen(function* () {
          const files = yield* begun(engine, "SELECT md5(i::VARCHAR) FROM range(100000) t(i)", spillDirectory)
          assert.strictEqual(files._tag, "Some")
          assert.deepStrictEqual(filesUnder(spillDirectory), [])
          // One that would take minutes is interrupted while it is written.
          const endless = "SELECT md5((i * j)::VARCHAR) FROM range(100000) t(i), range(100000) u(j)"
          const fiber = yield* Effect.forkChild(ask(engine, endless, { format }))
          const size = Effect.sync(() =>
            filesUnder(spillDirectory).reduce((bytes, file) => bytes + statSync(file).size, 0)
          )
          yield* Effect.repeat(Effect.andThen(Effect.sleep("5 millis"), size), {
            until: (bytes) => bytes > 0
          })
          yield* Fiber.interrupt(fiber)
          assert.deepStrictEqual(filesUnder(spillDirectory), [])
        })
      )
      assert.deepStrictEqual(readdirSync(spillDirectory), [])
    })
  )

  it.live("cannot be read by a query, not even past the check of statements", () =>
    Effect.gen(function* () {
      const { files, instance, session } = yield* Database.open({})
      const { path } = yield* files.open
      const open = yield* Session.open(instance, { ...session, transaction: "none" })
      const run = (sql: string) => open.call((connection) => connection.run(sql))
      yield* run(`COPY (SELECT 1 AS secret) TO '${path}' (FORMAT parquet)`)
      for (const reader of ["glob", "read_blob", "read_text", "parquet_metadata", "read_parquet"]) {
        yield* Effect.flip(run(`FROM ${reader}('${path}')`))
        yield* Effect.ignore(run("ROLLBACK"))
      }
    })
  )

  it.live("has at most maxSpill bytes, and names it if that is not enough", () =>
    Effect.gen(function* () {
      const spillDirectory = yield* Folder.make
      yield* withEngine({ maxSpill: 1_000_000, spillDirectory }, (engine) =>
        Effect.gen(function* () {
          const error = yield* failure(engine, "SELECT md5(i::VARCHAR) FROM range(1000000) t(i)", { format })
          assert.deepInclude(error, { type: "E", code: "execution_failed" })
          assert.include(error.message, "maxSpill")
          assert.deepStrictEqual(filesUnder(spillDirectory), [])
          assert.isNotEmpty(yield* ask(engine, "SELECT 1 AS a", { format }))
        })
      )
    })
  )

  it.live("names the client's column in an error, not one of ours", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        const query = "SELECT 170141183460469231731687303715884105727::HUGEINT AS large"
        const { message } = yield* failure(engine, query, { format })
        assert.include(message, "source column large")
      })
    )
  )

  it.live("names it also where rows of a statement that writes are cast", () =>
    withEngine({ readWrite: true }, (engine) =>
      Effect.gen(function* () {
        yield* ask(engine, "CREATE TABLE t(i INT)")
        const query =
          "INSERT INTO t VALUES (1) RETURNING i, 170141183460469231731687303715884105727::HUGEINT AS h"
        const { message } = yield* failure(engine, query, { format })
        assert.include(message, "source column h")
        assert.notMatch(message, /c1|#/)
      })
    )
  )

  it.live("has infinite times as their type's extreme values, in lists, structs and maps too", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make
      const types = ["DATE", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMPTZ"]
      const values = types.flatMap((type) =>
        ["infinity", "-infinity"].flatMap((text) => {
          const value = `'${text}'::${type}`
          return [value, `[${value}]`, `{'a': ${value}}`, `map {1: ${value}}`, `[${value}]::${type}[1]`]
        })
      )
      const query = `SELECT ${values.map((value, index) => `${value} AS v${index}`).join(", ")}`
      const path = join(folder, "a.parquet")
      writeFileSync(path, yield* withEngine({}, (engine) => ask(engine, query, { format })))
      yield* withEngine({ tables: { a: path } }, (engine) =>
        Effect.gen(function* () {
          const texts = Object.values(((yield* rows(engine, "FROM a")) as ReadonlyArray<object>)[0] ?? {})
          assert.strictEqual(texts.length, values.length)
          const seconds = texts.slice(10, 20)
          assert.deepStrictEqual(seconds, texts.slice(20, 30))
          assert.deepStrictEqual(seconds[0], "infinity")
          assert.deepStrictEqual(seconds[7], { a: "-infinity" })
        })
      )
    })
  )
})
