/**
 * The directory that DuckDB spills to, and the databases that stand beside the served one.
 */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statfsSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { homedir, tmpdir } from "node:os"
import { join } from "node:path"
import { DuckDBInstance } from "@duckdb/node-api"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Database from "../../src/engine/duckdb/Database.ts"
import * as Session from "../../src/engine/duckdb/Session.ts"
import * as SpillRoom from "../../src/engine/duckdb/SpillRoom.ts"
import { isIsolated } from "../support/DuckDbEngines.ts"
import * as Folder from "../support/Folder.ts"
import * as Poll from "../support/Poll.ts"
import { ask, failure, rows, withEngine } from "./duckdbEngine.ts"

/** Sorts some 200 MB, and thinks long before its first row. */
const spills =
  "SELECT count(h) AS n FROM (SELECT hash(range) AS h FROM range(6000000) ORDER BY h LIMIT 5000000)"

const filesUnder = (folder: string, isDirectory = false): ReadonlyArray<string> =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => (isDirectory ? entry.isDirectory() : entry.isFile()))
    .map((entry) => join(entry.parentPath, entry.name))

describe("what outgrows the memory", () => {
  it.live("goes to a private directory, which is deleted at the end", () =>
    Effect.gen(function* () {
      const spillDirectory = yield* Folder.make
      yield* withEngine({ spillDirectory, memoryLimit: "60MB", threads: 1 }, (engine) =>
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* rows(engine, spills), [{ n: 5_000_000 }])
          const made = readdirSync(spillDirectory)
          assert.isNotEmpty(made)
          for (const name of made) {
            assert.match(name, new RegExp(`^dataconn-\\d+-${isIsolated ? "\\d+" : process.pid}-\\d+-\\w+$`))
            assert.strictEqual(statSync(join(spillDirectory, name)).mode & 0o777, 0o700)
          }
        })
      )
      assert.deepStrictEqual(readdirSync(spillDirectory), [])
    })
  )

  it.live("has its directory again after somebody has deleted that, unless another's is in its place", () =>
    Effect.gen(function* () {
      const spillDirectory = yield* Folder.make
      const clean = () => {
        for (const name of readdirSync(spillDirectory))
          rmSync(join(spillDirectory, name), { recursive: true })
      }
      yield* withEngine({ spillDirectory, memoryLimit: "60MB", threads: 1 }, (engine) =>
        Effect.gen(function* () {
          const [directory = ""] = readdirSync(spillDirectory)
          const parquet = ask(engine, "SELECT 1 AS a", { format: "application/vnd.apache.parquet" })
          clean()
          assert.strictEqual((yield* parquet).toString("latin1", 0, 4), "PAR1")
          clean()
          yield* Poll.until("it is made again", () => filesUnder(spillDirectory, true).length > 1)
          assert.deepStrictEqual(yield* rows(engine, spills), [{ n: 5_000_000 }])
          clean()
          symlinkSync(tmpdir(), join(spillDirectory, directory))
          assert.deepInclude(yield* Effect.flip(parquet), { code: "internal", retryable: false })
          clean()
        })
      )
    })
  )

  it.live("is limited by maxSpill, and a query that needs more fails", () =>
    Effect.gen(function* () {
      for (const maxSpill of [0, 20_000_000]) {
        yield* withEngine({ memoryLimit: "60MB", threads: 1, maxSpill }, (engine) =>
          Effect.gen(function* () {
            assert.deepInclude(yield* failure(engine, spills), { type: "E", code: "out_of_memory" })
            assert.deepStrictEqual(yield* rows(engine, "SELECT 1 AS a"), [{ a: 1 }])
          })
        )
      }
    })
  )

  it.live.each<[name: string, options: Database.DuckDbOptions, log: RegExp, isFreed: boolean]>([
    ["read only", {}, /keeps 2 MiB .*: the database is opened again/, true],
    ["in a file", { readWrite: true, database: "" }, /the database is opened again/, true],
    ["in memory", { readWrite: true }, /only another start of the server frees them/, false]
  ])("is freed once the disk was full, while queries go on: %s", ([, options, log, isFreed]) =>
    Effect.gen(function* () {
      const spillDirectory = yield* Folder.make
      const lines: Array<string> = []
      const logger = Logger.make(({ message }) => void lines.push(String(message)))
      const database = options.database === undefined ? undefined : join(yield* Folder.make, "base.duckdb")
      const opened = yield* Database.open({ ...options, database, spillDirectory })
      const settings = { ...opened.session, transaction: "none" } as const
      const one = (session: Session.Session) =>
        session.call(async (connection) => (await connection.run("SELECT 1")).getRows())
      const left = () => filesUnder(spillDirectory)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const running = yield* Session.open(opened.instance, settings)
          const [own = ""] = filesUnder(spillDirectory, true).toReversed()
          writeFileSync(join(own, "duckdb_temp_storage_DEFAULT-0.tmp"), Buffer.alloc(2 * 1024 ** 2))
          yield* Effect.repeat(Effect.provide(opened.diskFull, Logger.layer([logger])), { times: 1 })
          assert.deepStrictEqual(yield* one(running), [[1]])
          assert.lengthOf(left(), 1)
        })
      )
      assert.deepStrictEqual(yield* one(yield* Session.open(opened.instance, settings)), [[1]])
      assert.lengthOf(left(), isFreed ? 0 : 1)
      assert.lengthOf(lines, 1)
      assert.match(lines[0] ?? "", log)
    })
  )

  it("may take a part of what is free, and what it has", () => {
    const path = mkdtempSync(join(tmpdir(), "room-"))
    const { bavail, bsize } = statfsSync(path)
    writeFileSync(join(path, "a"), "abc")
    assert.strictEqual(SpillRoom.of(path, 1000), 1000)
    assert.approximately(SpillRoom.of(path, Number.MAX_SAFE_INTEGER) / (bavail * bsize), 0.4, 0.05)
    assert.strictEqual(SpillRoom.of(join(path, "missing"), 1000), 1000)
    rmSync(path, { recursive: true })
  })

  it.live("cannot be listed or read, not even past the check of statements", () =>
    Effect.gen(function* () {
      const spillDirectory = yield* Folder.make
      const { instance, session } = yield* Database.open({ spillDirectory, memoryLimit: "60MB", threads: 1 })
      const open = yield* Session.open(instance, { ...session, transaction: "none" })
      const run = (sql: string) => open.call((connection) => connection.run(sql))
      yield* run(
        "CREATE TEMP TABLE large AS SELECT hash(range) AS h, hash(range + 1) AS i FROM range(10000000)"
      )
      const files = filesUnder(spillDirectory)
      assert.isNotEmpty(files)
      for (const file of files) {
        const folder = join(file, "..")
        for (const pattern of [file, folder, `${folder}/*`, `${folder}/**`, file.replaceAll("*", "?")]) {
          for (const reader of ["glob", "read_blob", "read_text", "read_csv", "read_json", "read_parquet"]) {
            yield* Effect.flip(run(`FROM ${reader}('${pattern}')`))
          }
        }
        yield* Effect.flip(run(`COPY large FROM '${file}'`))
        yield* Effect.flip(run(`FROM '${file}'`))
        yield* Effect.flip(run(`ATTACH '${file}' (READ_ONLY)`))
      }
      yield* run("DROP TABLE large")
    })
  )
})

describe("a database beside files", () => {
  const folder = Effect.gen(function* () {
    const path = yield* Folder.make
    writeFileSync(join(path, "a.csv"), "id\n1\n")
    yield* Effect.promise(async () => {
      for (const name of ["shop", "memory"]) {
        const instance = await DuckDBInstance.create(join(path, `${name}.duckdb`))
        const connection = await instance.connect()
        await connection.run("CREATE TABLE stored AS SELECT 7 AS n")
        await connection.run("CREATE SCHEMA other")
        await connection.run("CREATE TABLE other.inner_one AS SELECT 8 AS n")
        await connection.run("CREATE MACRO twice(x) AS 2 * x")
        connection.disconnectSync()
        instance.closeSync()
      }
    })
    return path
  })

  it.effect.each(["shop", "memory"])("has all its schemas and functions by their names (%s)", (name) =>
    Effect.gen(function* () {
      const path = yield* folder
      const options = { database: join(path, `${name}.duckdb`), tables: { csv: join(path, "a.csv") } }
      yield* withEngine(options, (engine) =>
        Effect.gen(function* () {
          assert.deepStrictEqual(
            yield* rows(
              engine,
              "SELECT a.n, b.n AS m, id, twice(id) AS t FROM stored a, other.inner_one b, csv"
            ),
            [{ n: 7, m: 8, id: 1, t: 2 }]
          )
          assert.deepStrictEqual(yield* rows(engine, "SHOW TABLES"), [{ name: "csv" }, { name: "stored" }])
        })
      )
    })
  )

  it.effect("may not have a table under the name of a file", () =>
    Effect.gen(function* () {
      const path = yield* folder
      const options = { database: join(path, "shop.duckdb"), tables: { Stored: join(path, "a.csv") } }
      const error = yield* Effect.flip(withEngine(options, () => Effect.void))
      assert.strictEqual(error.setting, "tables.Stored")
      assert.include(error.message, "choose another")
    })
  )

  it.effect("of the engine's own is listed nowhere", () =>
    withEngine({ sample: true }, (engine) =>
      Effect.gen(function* () {
        for (const list of ["SHOW DATABASES", "SHOW ALL TABLES"]) {
          assert.notInclude(JSON.stringify(yield* rows(engine, list)), "dataconn")
        }
      })
    )
  )
})

describe("a file that is no DuckDB database", () => {
  it.effect.each<[form: string, contents: string]>([
    ["an SQLite database", "SQLite format 3\0 and more"],
    ["a text", "id\n1\n"],
    ["an empty file", ""],
    ["a Parquet file", "PAR1 and more of it PAR1"]
  ])("is refused without looking for an extension: %s", ([, contents]) =>
    Effect.gen(function* () {
      const file = join(yield* Folder.make, "other.db")
      writeFileSync(file, contents)
      for (const options of [{ database: file }, { tables: { t: file } }]) {
        const error = yield* Effect.flip(withEngine(options, () => Effect.void))
        assert.include(error.message, `${file} is not a DuckDB file`)
        assert.match(error.setting, /^(database|tables\.t)$/)
      }
    })
  )

  it.effect("may be made where clients may write", () =>
    Effect.gen(function* () {
      const path = yield* Folder.make
      const database = join(path, "new.duckdb")
      yield* withEngine({ database, readWrite: true }, (engine) =>
        rows(engine, "CREATE TABLE t AS SELECT 1 AS a")
      )
      yield* withEngine({ database }, (engine) =>
        Effect.map(rows(engine, "FROM t"), (found) => assert.deepStrictEqual(found, [{ a: 1 }]))
      )
      mkdirSync(join(path, "folder.duckdb"))
      const error = yield* Effect.flip(
        withEngine({ database: join(path, "folder.duckdb"), readWrite: true }, () => Effect.void)
      )
      assert.strictEqual(error.setting, "database")
    })
  )
})

describe("the settings of an instance", () => {
  it.live("neither show the home of its user nor let extensions be fetched", () =>
    Effect.gen(function* () {
      const { instance, session } = yield* Database.open({ sample: true })
      const open = yield* Session.open(instance, { ...session, transaction: "read only" })
      const settings = (yield* open.call(async (connection) =>
        (await connection.run("SELECT name, value FROM duckdb_settings()")).getRowsJson()
      )) as unknown as ReadonlyArray<[string, string]>
      const valueOf = Object.fromEntries(settings)
      assert.deepInclude(valueOf, {
        autoinstall_known_extensions: "false",
        autoload_known_extensions: "false",
        allow_community_extensions: "false",
        allow_persistent_secrets: "false",
        enable_external_access: "false",
        lock_configuration: "true"
      })
      for (const [name, value] of settings) {
        assert.notInclude(String(value), join(homedir(), ".duckdb"), name)
      }
    })
  )
})
