/**
 * What an engine leaves behind when its scope has closed: neither an open file nor a write-ahead log.
 */
import { existsSync, readdirSync, readlinkSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import * as Folder from "../support/Folder.ts"
import { type Engine, failure, text, withEngine } from "./duckdbEngine.ts"

const rows = "SELECT a, repeat('x', 300) AS b FROM t, range(2000000)"

/** The result of a query whose consumer does with it what the test says. */
const consuming = (
  engine: Engine,
  format: QueryApi.Format,
  use: (chunks: Chunks) => Effect.Effect<unknown>
) =>
  Effect.scoped(
    Effect.flatMap(engine.init(QueryApi.encodeRequest({ query: rows, format })), ({ chunks }) => use(chunks))
  )

type Chunks = Effect.Success<ReturnType<Engine["init"]>>["chunks"]

const unread = () => Effect.void
const partly = (chunks: Chunks) => Effect.orDie(Stream.runDrain(Stream.take(chunks, 2)))
const interrupted = (chunks: Chunks) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(Stream.runDrain(chunks), { startImmediately: true })
    yield* Effect.yieldNow
    yield* Fiber.interrupt(fiber)
  })

const uses: ReadonlyArray<[name: string, use: (engine: Engine) => Effect.Effect<unknown, unknown>]> = [
  ["nothing more", () => Effect.void],
  ["a result read to its end", (engine) => text(engine, "FROM t")],
  ["a result that nobody read", (engine) => consuming(engine, "text/csv", unread)],
  ["a result read in part", (engine) => consuming(engine, "application/x-ndjson", partly)],
  [
    "an Arrow result read in part",
    (engine) => consuming(engine, "application/vnd.apache.arrow.stream", partly)
  ],
  [
    "a Parquet result that nobody read",
    (engine) => consuming(engine, "application/vnd.apache.parquet", unread)
  ],
  ["a cancelled query", (engine) => consuming(engine, "application/json", interrupted)],
  ["a failed query", (engine) => failure(engine, "SELECT error('x') FROM t")],
  ["a failed write", (engine) => failure(engine, "INSERT INTO t SELECT error('x')::INTEGER")]
]

describe.skipIf(process.platform !== "linux")("an engine that has closed", () => {
  it.live.each(uses)("after %s holds no file open and leaves no log", ([, use]) =>
    Effect.gen(function* () {
      const database = join(yield* Folder.make, "m.duckdb")
      yield* withEngine({ database, readWrite: true }, (engine) =>
        Effect.gen(function* () {
          yield* text(engine, "CREATE TABLE t AS SELECT range::INTEGER AS a FROM range(10)")
          yield* text(engine, "INSERT INTO t VALUES (11)")
          yield* use(engine)
          assert.isTrue(existsSync(`${database}.wal`))
        })
      )
      assert.deepStrictEqual(openFiles(database), [])
      assert.isFalse(existsSync(`${database}.wal`))
    })
  )
})

const openFiles = (path: string): ReadonlyArray<string> =>
  readdirSync("/proc/self/fd").flatMap((descriptor) => {
    try {
      const file = readlinkSync(`/proc/self/fd/${descriptor}`)
      return file.startsWith(path) ? [file] : []
    } catch {
      // It was that of the listing itself.
      return []
    }
  })
