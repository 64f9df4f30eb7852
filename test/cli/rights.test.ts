import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import * as Net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { DuckDBInstance } from "@duckdb/node-api"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Dataconn from "../support/Dataconn.ts"
import * as Folder from "../support/Folder.ts"
import * as LiveServer from "../support/LiveServer.ts"
import { some } from "../support/Long.ts"
import * as Response from "../support/Response.ts"
import type { Attack, Outcome } from "./Attack.ts"

const program = new URL("./Attack.ts", import.meta.url).pathname

const run = (attack: Attack): Effect.Effect<Outcome> =>
  Effect.promise(async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [program, JSON.stringify(attack)])
    // DuckDB may have printed a profile before.
    return JSON.parse(stdout.slice(stdout.lastIndexOf("\n"))) as Outcome
  })

/** A folder with one file of each form that is served. */
const served = Effect.fnUntraced(function* () {
  const folder = yield* Folder.make
  const file = (name: string) => join(folder, name)
  writeFileSync(file("a.csv"), "id,name\n1,one\n2,two\n")
  writeFileSync(file("b.ndjson"), '{"id":1}\n')
  yield* Effect.promise(async () => {
    const instance = await DuckDBInstance.create(file("base.duckdb"))
    const connection = await instance.connect()
    await connection.run("CREATE TABLE stored AS SELECT 7 AS n")
    await connection.run(`COPY (SELECT 3 AS id) TO '${file("c.parquet")}'`)
    connection.disconnectSync()
    instance.closeSync()
  })
  return {
    folder,
    database: file("base.duckdb"),
    tables: { csv: file("a.csv"), json: file("b.ndjson"), parquet: file("c.parquet") }
  }
})

/** Every file with the hash of what is in it, and the rights it has. */
const snapshot = (folder: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(folder, { recursive: true, withFileTypes: true }).map((entry) => {
      const path = join(entry.parentPath, entry.name)
      const contents = entry.isFile()
        ? createHash("sha256").update(readFileSync(path)).digest("hex")
        : "folder"
      return [path, `${contents} ${statSync(path).mode}`]
    })
  )

/** Statements that would change `file`, or write beside it. */
const writes = (file: string, folder: string): ReadonlyArray<ReadonlyArray<string>> => [
  [`COPY (SELECT 1 AS id) TO '${file}' (FORMAT csv, USE_TMP_FILE false)`],
  [`COPY (SELECT 1 AS id) TO '${file}' (FORMAT csv)`],
  [`COPY (SELECT 1 AS id) TO '${file}' (FORMAT parquet, USE_TMP_FILE false)`],
  [`COPY (SELECT 1 AS id) TO '${file}' (FORMAT json, USE_TMP_FILE false)`],
  [`COPY (SELECT 1 AS id) TO '${file}.new' (FORMAT csv)`],
  [`COPY (SELECT 1 AS id) TO '${folder}' (FORMAT csv, PARTITION_BY id, OVERWRITE)`],
  [`EXPLAIN ANALYZE COPY (SELECT 1) TO '${file}' (FORMAT csv, USE_TMP_FILE false)`],
  [`EXPORT DATABASE '${folder}'`],
  [`EXPORT DATABASE '${join(folder, "export")}'`],
  [
    `ATTACH '${join(folder, "new.duckdb")}' AS fresh`,
    "CREATE TABLE fresh.t AS SELECT 1 AS a",
    "CHECKPOINT fresh"
  ],
  [`ATTACH '${file}.wal' AS log`, "CREATE TABLE log.t AS SELECT 1 AS a", "CHECKPOINT log"],
  ["DETACH base", `ATTACH '${file}' AS again`, "CREATE TABLE again.t AS SELECT 1 AS a", "CHECKPOINT again"],
  ["COPY FROM DATABASE memory TO base", "COPY FROM DATABASE memory TO again"],
  [`SET profiling_output = '${file}'`, "SET enable_profiling = 'json'", "SELECT 3"],
  [`PRAGMA profile_output = '${file}'`, "PRAGMA enable_profiling = 'json'", "SELECT 4"],
  [`SET log_query_path = '${file}'`, "SELECT 5"],
  [`SET secret_directory = '${folder}'`, "CREATE PERSISTENT SECRET s (TYPE http)"],
  [`SET extension_directory = '${folder}'`, "INSTALL httpfs", "LOAD httpfs"],
  [`SET temp_directory = '${folder}'`],
  [`INSTALL httpfs FROM '${folder}'`]
]

/** DuckDB ends the process when it cannot write its log, so that each has one of its own. */
const logs = (file: string, folder: string): ReadonlyArray<ReadonlyArray<string>> =>
  [file, folder].map((path) => [
    `CALL enable_logging(level = 'trace', storage = 'file', storage_path = '${path}')`,
    "SELECT 1",
    "CALL disable_logging()"
  ])

/** Older Nodes cannot call the kernel. */
const linux = process.platform === "linux" && Number(process.versions.node.split(".")[0]) >= 26

describe.runIf(linux)("past the check of statements", () => {
  type Files = Effect.Success<ReturnType<typeof served>>
  const modes: Readonly<Record<string, (files: Files) => Attack["config"]>> = {
    "the sample": () => ({}),
    "--table": ({ tables }) => ({ tables }),
    "--table of a database": ({ database }) => ({ tables: { base: database } }),
    "--database": ({ database }) => ({ database }),
    both: ({ database, tables }) => ({ database, tables })
  }
  // The last of them has both kinds of files.
  for (const [mode, configOf] of some(Object.entries(modes), 2)) {
    for (const unsealed of mode === "both" ? [false, true] : [false]) {
      it.live(
        `no statement changes a file with ${mode}${unsealed ? ", not even without DuckDB's sandbox" : ""}`,
        () =>
          Effect.gen(function* () {
            const files = yield* served()
            const before = snapshot(files.folder)
            const targets = [files.database, ...Object.values(files.tables)]
            const outcome = yield* run({
              config: configOf(files),
              unsealed,
              sessions: [...targets.flatMap((file) => writes(file, files.folder)), ["SELECT 'still there'"]]
            })
            assert.deepStrictEqual(snapshot(files.folder), before)
            assert.strictEqual(outcome["SELECT 'still there'"], "done")
            // It is the kernel that says no, where DuckDB would have done it.
            if (unsealed) {
              const copy = `COPY (SELECT 1 AS id) TO '${files.tables.csv}' (FORMAT csv, USE_TMP_FILE false)`
              assert.match(outcome[copy] ?? "", /Permission denied/)
            }
          }),
        60_000
      )
    }
  }

  it.live("a statement would change a served file if the kernel did not hold it", () =>
    Effect.gen(function* () {
      const { tables } = yield* served()
      const copy = `COPY (SELECT 1 AS id) TO '${tables.csv}' (FORMAT csv, USE_TMP_FILE false)`
      yield* run({ config: { tables, landlock: "off" }, unsealed: false, sessions: [[copy]] })
      assert.strictEqual(readFileSync(tables.csv, "utf8"), "id\n1\n")
    })
  )

  it.live(
    "no log goes to a file, be it at the price of the process",
    () =>
      Effect.gen(function* () {
        const { folder, tables } = yield* served()
        const before = snapshot(folder)
        for (const unsealed of [false, true]) {
          for (const session of logs(tables.csv, folder)) {
            yield* Effect.exit(run({ config: { tables }, unsealed, sessions: [session] }))
          }
        }
        assert.deepStrictEqual(snapshot(folder), before)
      }),
    60_000
  )

  it.live("a database that may be changed is, and no file elsewhere", () =>
    Effect.gen(function* () {
      const { database, folder, tables } = yield* served()
      const elsewhere = yield* served()
      const before = snapshot(elsewhere.folder)
      const outcome = yield* run({
        config: { database, readWrite: true },
        unsealed: true,
        sessions: [
          ["INSERT INTO stored VALUES (8)", "CHECKPOINT"],
          ...writes(elsewhere.tables.csv, elsewhere.folder),
          ...writes(elsewhere.database, elsewhere.folder)
        ]
      })
      assert.strictEqual(outcome["INSERT INTO stored VALUES (8)"], "done")
      assert.strictEqual(outcome["CHECKPOINT"], "done")
      assert.deepStrictEqual(snapshot(elsewhere.folder), before)
      assert.strictEqual(readFileSync(tables.csv, "utf8"), "id,name\n1,one\n2,two\n")
      assert.isNotEmpty(readdirSync(folder))
    })
  )

  it.live("the network cannot be reached, not even this machine's", () =>
    Effect.gen(function* () {
      let connected = 0
      const server = yield* Effect.acquireRelease(
        Effect.callback<Net.Server>((resume) => {
          const listening = Net.createServer((socket) => {
            connected++
            socket.destroy()
          })
          listening.listen(0, "127.0.0.1", () => resume(Effect.succeed(listening)))
        }),
        (listening) => Effect.sync(() => listening.close())
      )
      const { port } = server.address() as Net.AddressInfo
      const url = `http://127.0.0.1:${port}`
      const install = `INSTALL httpfs FROM '${url}'`
      const outcome = yield* run({
        config: {},
        unsealed: true,
        sessions: [[install], [`SET custom_extension_repository = '${url}'`, "INSTALL spatial"]]
      })
      assert.notStrictEqual(outcome[install], "done")
      assert.strictEqual(connected, 0)
    })
  )
})

describe.runIf(linux)("dataconn serve", () => {
  const ask = Effect.fnUntraced(function* (server: Dataconn.Dataconn, query: string) {
    const peer = yield* Effect.flatMap(server.address, LiveServer.connect)
    return JSON.parse(yield* Response.result(peer, JSON.stringify({ version: "v1", query }))) as unknown
  }, Effect.scoped)

  it.live.each(
    some<[mode: string, args: ReadonlyArray<string>, query: string]>(
      [
        ["the sample", [], "FROM trades LIMIT 1"],
        ["--table", ["--table", "csv=a.csv", "--table", "parquet=c.parquet"], "FROM csv, parquet"],
        ["--database", ["--database", "base.duckdb"], "FROM stored"],
        ["both", ["--database", "base.duckdb", "--table", "csv=a.csv"], "FROM stored, csv"],
        ["--read-write", ["--database", "base.duckdb", "--read-write"], "INSERT INTO stored VALUES (9)"]
      ],
      2
    )
  )("answers with %s while the kernel holds it, and leaves nothing behind", ([, args, query]) =>
    Effect.gen(function* () {
      const { folder } = yield* served()
      const spill = yield* Folder.make
      const socket = join(yield* Folder.make, "socket")
      const config = join(yield* Folder.make, "dataconn.json")
      writeFileSync(config, JSON.stringify({ landlock: "require", spillDirectory: spill }))
      const server = yield* Dataconn.serve(["--config", config, "--listen", `unix:${socket}`, ...args], {
        cwd: folder
      })
      assert.isNotEmpty((yield* ask(server, query)) as ReadonlyArray<unknown>)
      const [own = ""] = readdirSync(spill)
      assert.strictEqual(statSync(join(spill, own)).mode & 0o777, 0o700)
      yield* server.kill("SIGTERM")
      assert.strictEqual(yield* server.exit, 0)
      assert.strictEqual(server.stderr(), "")
      assert.deepStrictEqual(readdirSync(spill), [])
      assert.deepStrictEqual(readdirSync(join(socket, "..")), [])
    })
  )

  it.live("removes at its start what a killed server left, and nothing of one that runs", () =>
    Effect.gen(function* () {
      const spill = yield* Folder.make
      mkdirSync(join(spill, "dataconn-mine"))
      const args = ["--spill-directory", spill]
      const killed = yield* Dataconn.serveTiny(args)
      yield* killed.address
      const [left = ""] = readdirSync(spill).filter((name) => name !== "dataconn-mine")
      const running = yield* Dataconn.serveTiny(args)
      yield* running.address
      assert.include(readdirSync(spill), left)
      yield* killed.kill("SIGKILL")
      yield* killed.exit
      const next = yield* Dataconn.serveTiny(args)
      yield* next.address
      const there = readdirSync(spill)
      assert.notInclude(there, left)
      assert.include(there, "dataconn-mine")
      assert.lengthOf(there, 3)
      assert.isNotEmpty((yield* ask(running, "FROM t")) as ReadonlyArray<unknown>)
    })
  )
})

describe.runIf(process.getuid?.() === 0)("as root", () => {
  const asRoot = { env: { DATACONN_ALLOW_ROOT: "false" } }

  it.live.each<[what: string, args: ReadonlyArray<string>, stake: string]>([
    ["a file", ["--table", "a=a.csv"], "serves files"],
    ["a database", ["--database", "a.duckdb"], "serves files"],
    ["a database that clients may change", ["--read-write"], "lets clients write"],
    ["any file", ["--allow-external-access"], "lets clients reach files"],
    ["the sample beyond this machine", ["--listen", "0.0.0.0:0"], "listens beyond this machine"]
  ])("%s is not served, and the flags to change are named", ([, args, stake]) =>
    Effect.gen(function* () {
      const server = yield* Dataconn.serve(args, asRoot)
      assert.strictEqual(yield* server.exit, 1)
      assert.include(server.stderr(), `dataconn: allowRoot: a server that ${stake} does not run as root.`)
      assert.match(server.stderr(), /--user NAME.*--allow-root/)
    })
  )

  it.live("no gateway is reached from beyond this machine", () =>
    Effect.gen(function* () {
      const gateway = yield* Dataconn.run(
        ["gateway", "--http", "0.0.0.0:0", "--backend", "a=127.0.0.1:1"],
        asRoot
      )
      assert.strictEqual(yield* gateway.exit, 1)
      assert.include(gateway.stderr(), "a server that listens beyond this machine does not run as root.")
    })
  )

  it.live("the sample is served on loopback", () =>
    Effect.gen(function* () {
      const server = yield* Dataconn.serve([], asRoot)
      yield* server.address
    })
  )

  it.live("--user becomes another user, whose rights are what counts", () =>
    Effect.gen(function* () {
      // Readable by all, unlike the tests' own folders.
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "rights-"), {})),
        (path) => Effect.sync(() => rmSync(path, { recursive: true }))
      )
      writeFileSync(join(folder, "secret.csv"), "id\n1\n", { mode: 0o600 })
      const server = yield* Dataconn.serve(
        ["--table", `a=${join(folder, "secret.csv")}`, "--user", "nobody"],
        asRoot
      )
      assert.strictEqual(yield* server.exit, 1)
      assert.match(server.stderr(), /tables\.a: /)
      const other = yield* Dataconn.serve(["--user", "no-such-user"], asRoot)
      assert.strictEqual(yield* other.exit, 1)
      assert.include(other.stderr(), "dataconn: user: there is no user no-such-user")
    })
  )
})
