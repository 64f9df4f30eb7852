import { execFileSync } from "node:child_process"
import { constants, openSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import * as Net from "node:net"
import { dirname, join, resolve } from "node:path"
import { DuckDBInstance } from "@duckdb/node-api"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Message from "../../src/protocol/Message.ts"
import * as Dataconn from "../support/Dataconn.ts"
import * as Datagrams from "../support/Datagrams.ts"
import * as Folder from "../support/Folder.ts"
import * as LiveServer from "../support/LiveServer.ts"
import { isLong, some } from "../support/Long.ts"
import * as Poll from "../support/Poll.ts"
import * as Response from "../support/Response.ts"

/** A file that is of no form that can be served. */
const bin = Dataconn.program[1]

const request = (query: string): string => JSON.stringify({ version: "v1", query })

const silent = request("SELECT sum(a.range * b.range) FROM range(10000000) AS a, range(10000000) AS b")

/** Computes for hours, in one call that DuckDB does not interrupt. */
const unstoppable = request(
  "SELECT repeat('a', 30000 + range) GLOB (repeat('*a', 3000) || 'b') FROM range(1)"
)

/** DuckDB folds the constant when it prepares the statement. */
const unpreparable = request("SELECT repeat('a', 30000) GLOB (repeat('*a', 3000) || 'b')")

/** The processes that a process has started. */
const childrenOf = (pid: number): ReadonlyArray<number> =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number)

/** Whether there is such a process, and not only what is left of one that has ended. */
const isRunning = (pid: number): boolean => {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return false
  }
}

const connect = (server: Dataconn.Dataconn) => Effect.flatMap(server.address, LiveServer.connect)

/** The rows that a server answers. */
const rows = Effect.fnUntraced(function* (server: Dataconn.Dataconn, query: string) {
  const peer = yield* connect(server)
  return JSON.parse(yield* Response.result(peer, request(query))) as unknown
}, Effect.scoped)

/** A line of the structured log. */
interface Entry {
  readonly timestamp: string
  readonly level: string
  readonly message: string
  readonly event?: string
  readonly body?: string
  readonly control?: object
}

describe("dataconn serve", () => {
  it.live("answers although more clients read nothing than queries may run", () =>
    Effect.gen(function* () {
      const limits = [
        "--max-concurrent-queries",
        "2",
        "--max-queued-queries",
        "4",
        "--stall-timeout",
        "100ms"
      ]
      const server = yield* Dataconn.serveTiny(["--engines", "1", ...limits], Dataconn.isolated)
      const query = request("SELECT repeat('x', 10000) AS x FROM range(1000000)")
      const address = yield* server.address
      for (let i = 0; i < 5; i++) {
        const peer = yield* LiveServer.dial(address, { paused: true })
        peer.socket.write(Message.encode(Message.make(Message.Type.Request, Buffer.from(query))))
      }
      assert.deepStrictEqual(yield* rows(server, "SELECT 42 AS n"), [{ n: 42 }])
    })
  )

  it.live.runIf(isLong)("answers small queries although others have just had all of the memory", () =>
    Effect.gen(function* () {
      const server = yield* Dataconn.serve(["--engines", "1", "--engine-memory", "1GB"], Dataconn.isolated)
      const peer = yield* connect(server)
      const columns = Array.from({ length: 4000 }, (_, i) => `${i} AS c${i}`)
      for (let i = 0; i < 4; i++) {
        yield* peer.request(request(`SELECT ${columns.join(", ")}`))
        assert.match((yield* Response.take(peer)).end, /out_of_memory.*engineMemory|engine_lost/)
        for (let j = 0; j < 4; j++) {
          assert.strictEqual(yield* Response.result(peer, request("SELECT 1 AS a")), `[{"a":1}]`)
        }
      }
    })
  )

  it.live("answers from the sample with nothing given, and logs each step", () =>
    Effect.gen(function* () {
      const server = yield* Dataconn.serve([], Dataconn.isolated)
      const peer = yield* connect(server)
      const answer = `[{"n":100000}]`
      assert.strictEqual(yield* Response.result(peer, request("SELECT count(*) AS n FROM trades")), answer)
      yield* peer.request(request("SELEKT"))
      yield* peer.next
      yield* peer.request(silent)
      yield* peer.next
      yield* peer.cancel
      yield* peer.next
      yield* peer.close
      yield* server.line(/disconnected/)
      yield* server.kill("SIGINT")
      assert.strictEqual(yield* server.exit, 0)
      assert.strictEqual(server.stderr(), "")

      const timestamp = String.raw`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z `
      const who = String.raw`127\.0\.0\.1:\d+ => 127\.0\.0\.1:\d+`
      const expected = [
        String.raw`Opening DataConn socket on 127\.0\.0\.1:[1-9]\d*\.\.\.$`,
        String.raw`Started \(send SIGINT or SIGTERM to exit\): dataconn \d+\.\d+\.\d+, process \d+, serves the sample; read-only; settings: listen 127\.0\.0\.1:0, allowRoot true$`,
        `Accepted connection ${who}$`,
        `${who} request: \\{"version":"v1","query":"SELECT count\\(\\*\\) AS n FROM trades"\\}$`,
        `${who} accept: \\{"format":"application/json",.*\\}$`,
        String.raw`${who} complete \(queryId [0-9a-f]{16}, 1 rows, 14 bytes, \d+(\.\d)? ms\)$`,
        `${who} request: .*SELEKT"\\}$`,
        `${who} rejected \\(0 bytes, \\d+(\\.\\d)? ms\\): \\{"code":"syntax_error",.*$`,
        `${who} request: .*$`,
        `${who} accept: .*$`,
        String.raw`${who} cancelled \(queryId [0-9a-f]{16}, 0 bytes, \d+(\.\d)? ms\)$`,
        `${who} disconnected due to failure reading: End of file$`,
        String.raw`Stopping\.\.\.$`
      ]
      const lines = server.lines().filter((line) => !line.includes("Warn: "))
      assert.strictEqual(lines.length, expected.length, lines.join("\n"))
      for (const [index, pattern] of expected.entries()) {
        assert.match(lines[index] ?? "", new RegExp(timestamp + pattern.replace(/\$$/, "$")))
      }
    })
  )

  it.live("logs one JSON object a line with --log-format json, bodies cut at --log-body-length", () =>
    Effect.gen(function* () {
      const server = yield* Dataconn.serveTiny(["--log-format", "json", "--log-body-length", "12"])
      yield* rows(server, "SELECT 1 AS a")
      yield* server.line(/"event":"Closed"/)
      yield* server.kill("SIGTERM")
      assert.strictEqual(yield* server.exit, 0)
      const entries = server.lines().map((line) => JSON.parse(line) as Entry)
      for (const { timestamp, level, message } of entries) {
        assert.match(timestamp, /^\d{4}-.*\.\d{9}Z$/)
        assert.include(["Info", "Warn"], level)
        assert.isString(message)
      }
      const events = entries.map(({ event }) => event).filter((event) => event !== undefined)
      assert.deepStrictEqual(events, ["Opened", "Request", "Accepted", "Completed", "Closed"])
      const asked = entries.find(({ event }) => event === "Request")
      assert.strictEqual(asked?.body, `{"version":"…`)
      assert.deepInclude(entries.find(({ event }) => event === "Closed")?.control ?? {}, {
        accepted: 1,
        reason: "read"
      })
    })
  )

  it.live(
    "logs the start and the stop, and no query, with the level warn, and tells the service manager",
    () =>
      Effect.gen(function* () {
        const path = join(yield* Folder.make, "notify")
        const manager = Datagrams.isThere ? yield* Datagrams.open(path) : undefined
        const env = { DATACONN_LOG_LEVEL: "warn", ...(manager === undefined ? {} : { NOTIFY_SOCKET: path }) }
        const server = yield* Dataconn.serve([], { env })
        const peer = yield* connect(server)
        assert.strictEqual(yield* Response.result(peer, request("SELECT 1 AS a")), `[{"a":1}]`)
        yield* server.kill("SIGTERM")
        assert.strictEqual(yield* server.exit, 0)
        assert.deepStrictEqual(
          server.lines().map((line) => line.split(" ")[1]),
          ["Opening", "Started", "Stopping..."]
        )
        if (manager !== undefined)
          assert.deepStrictEqual([manager.next(), manager.next()], ["READY=1", "STOPPING=1"])
        assert.strictEqual(server.stderr(), "")
      })
  )
})

/** Whether somebody has opened a pipe to read. If so it is opened to write as well, and kept open. */
const hasReader = (pipe: string): boolean => {
  try {
    openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK)
    return true
  } catch {
    return false
  }
}

describe("a signal", () => {
  it.live.each(["SIGINT", "SIGTERM"] as const)(
    "%s lets running responses finish and ends with code 0",
    (signal) =>
      Effect.gen(function* () {
        const server = yield* Dataconn.serveTiny()
        const idle = yield* connect(server)
        const reader = yield* Effect.flatMap(server.address, (address) =>
          LiveServer.dial(address, { paused: true })
        )
        // More than the buffers on the way hold, so that it runs for as long as nobody reads.
        const body = request("SELECT repeat('x', 1000) AS a FROM range(50000)")
        const header = Buffer.alloc(5)
        header.writeUInt32LE(body.length)
        header.write("R", 4)
        reader.socket.write(Buffer.concat([header, Buffer.from(body)]))
        yield* server.line(/ accept: /)
        yield* server.kill(signal)
        yield* server.line(/ Stopping\.\.\.$/)
        assert.match(yield* idle.next, /^J .*"shutting_down".*"closing":true/)
        assert.strictEqual(yield* idle.next, "closed")
        let received = 0
        reader.socket.on("data", (chunk) => {
          received += chunk.length
        })
        reader.socket.resume()
        assert.strictEqual(yield* server.exit, 0)
        assert.isAbove(received, 50_000_000)
        yield* server.line(/ complete \(queryId \w+, 50000 rows, \d+ bytes, \d+(\.\d)? ms\)$/)
      })
  )

  it.live(
    "SIGQUIT waits for no response, and those without a meaning end nothing, not even in the group",
    () =>
      Effect.gen(function* () {
        const folder = yield* Folder.make
        const env = { ...Dataconn.isolated.env, TMPDIR: folder }
        const server = yield* Dataconn.serveTiny(["--engines", "1"], { env, detached: true })
        const peer = yield* connect(server)
        const engines = childrenOf(server.pid)
        for (const signal of ["SIGUSR1", "SIGUSR2"] as const) process.kill(-server.pid, signal)
        assert.strictEqual(yield* Response.result(peer, request("SELECT 1 AS a")), `[{"a":1}]`)
        yield* peer.request(silent)
        assert.match(yield* peer.next, /^A /)
        process.kill(-server.pid, "SIGQUIT")
        assert.match(yield* peer.next, /^E .*"shutting_down"/)
        assert.strictEqual(yield* server.exit, 0)
        assert.deepStrictEqual(
          [engines.filter(isRunning), readdirSync(folder), server.stderr()],
          [[], [], ""]
        )
        assert.isEmpty(server.lines().filter((line) => line.includes("ended by itself")))
      })
  )

  it.live.each(some([0, 10, 20, 40, 80], 3))(
    "%i ms into the opening of the database ends it, and leaves nothing behind",
    (moment) =>
      Effect.gen(function* () {
        const folder = yield* Folder.make
        const server = yield* Dataconn.serve([], { env: { TMPDIR: folder } })
        yield* Poll.until("the database is being opened", () => readdirSync(folder).length > 0)
        yield* Effect.sleep(moment)
        yield* server.kill("SIGTERM")
        assert.strictEqual(yield* server.exit, 0)
        assert.deepStrictEqual(readdirSync(folder), [])
        assert.strictEqual(server.stderr(), "")
      })
  )

  it.live("ends an opening that is stuck in a process of its own", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make
      const pipe = join(yield* Folder.make, "stuck.csv")
      execFileSync("mkfifo", [pipe])
      const server = yield* Dataconn.serve(["--table", `a=${pipe}`], {
        env: { ...Dataconn.isolated.env, TMPDIR: folder }
      })
      yield* Poll.until("the pipe is being read", () => hasReader(pipe))
      yield* server.kill("SIGTERM")
      assert.strictEqual(yield* server.exit, 0)
      assert.deepStrictEqual(readdirSync(folder), [])
    })
  )

  it.live("that comes a third time ends even an opening that is stuck in the server's process", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make
      // Nothing is ever written to the pipe, so that whoever reads it waits.
      const pipe = join(folder, "stuck.csv")
      execFileSync("mkfifo", [pipe])
      const server = yield* Dataconn.serve(["--isolate", "none", "--table", `a=${pipe}`])
      yield* Poll.until("the pipe is being read", () => hasReader(pipe))
      while (server.running()) {
        yield* server.kill("SIGTERM")
        yield* Effect.sleep(50)
      }
      assert.strictEqual(yield* server.exit, "SIGKILL")
    })
  )

  it.live.each([
    ["runs", unstoppable],
    ["prepares", unpreparable]
  ] as const)("ends all processes in time although DuckDB %s what cannot be interrupted", ([, query]) =>
    Effect.gen(function* () {
      const server = yield* Dataconn.serveTiny(
        ["--drain-timeout", "50ms", "--cancel-grace", "200ms"],
        Dataconn.isolated
      )
      const peer = yield* connect(server)
      yield* peer.request(query)
      yield* server.line(/ request: /)
      const children = childrenOf(server.pid)
      assert.isNotEmpty(children)
      const since = performance.now()
      yield* server.kill("SIGTERM")
      assert.match((yield* Response.take(peer)).end, /^[EJ] .*shutting_down/)
      assert.strictEqual(yield* server.exit, 0)
      assert.deepStrictEqual(children.filter(isRunning), [])
      // By itself: its parent would have it killed only then.
      assert.isBelow(performance.now() - since, 10_000)
    })
  )

  it.live("that kills the server kills its processes, whatever they compute", () =>
    Effect.gen(function* () {
      const server = yield* Dataconn.serveTiny([], Dataconn.isolated)
      const peer = yield* connect(server)
      yield* peer.request(unstoppable)
      yield* server.line(/ request: /)
      const children = childrenOf(server.pid)
      assert.isNotEmpty(children)
      // Not even one that is stopped stays.
      for (const child of children) process.kill(child, "SIGSTOP")
      yield* server.kill("SIGKILL")
      yield* server.exit
      yield* Poll.until("the processes are gone", () => !children.some(isRunning))
    })
  )

  it.live("stops at once when it comes a second time, and says so to those who wait", () =>
    Effect.gen(function* () {
      const server = yield* Dataconn.serveTiny(["--drain-timeout", "1 hour"])
      const peer = yield* connect(server)
      yield* peer.request(silent)
      assert.match(yield* peer.next, /^A /)
      yield* server.kill("SIGTERM")
      yield* server.line(/ Stopping\.\.\.$/)
      yield* server.kill("SIGTERM")
      assert.match((yield* Response.take(peer)).end, /^E .*shutting_down/)
      assert.strictEqual(yield* server.exit, 0)
    })
  )

  it.live("ends what runs after --drain-timeout with an error", () =>
    Effect.gen(function* () {
      const server = yield* Dataconn.serveTiny(["--drain-timeout", "100ms"])
      const peer = yield* connect(server)
      yield* peer.request(silent)
      assert.match(yield* peer.next, /^A /)
      yield* server.kill("SIGTERM")
      assert.match((yield* Response.take(peer)).end, /^E .*shutting_down/)
      assert.strictEqual(yield* server.exit, 0)
    })
  )
})

describe("what is served", () => {
  it.live("is a database file with --database, read-only unless --read-write", () =>
    Effect.gen(function* () {
      const path = join(yield* Folder.make, "shop.duckdb")
      yield* Effect.promise(async () => {
        const instance = await DuckDBInstance.create(path)
        const connection = await instance.connect()
        await connection.run("CREATE TABLE items AS SELECT 7 AS id, 'pen' AS name")
        connection.closeSync()
        instance.closeSync()
      })
      yield* Effect.scoped(
        Effect.gen(function* () {
          const server = yield* Dataconn.serve(["--database", path])
          assert.deepStrictEqual(yield* rows(server, "FROM items"), [{ id: 7, name: "pen" }])
          const peer = yield* connect(server)
          yield* peer.request(request("INSERT INTO items VALUES (8, 'ink')"))
          assert.match((yield* Response.take(peer)).end, /^J .*not_allowed/)
          yield* server.kill("SIGTERM")
          assert.strictEqual(yield* server.exit, 0)
        })
      )
      const server = yield* Dataconn.serve(["--database", path, "--read-write"], Dataconn.isolated)
      yield* rows(server, "INSERT INTO items VALUES (8, 'ink')")
      assert.deepStrictEqual(yield* rows(server, "SELECT count(*) AS n FROM items"), [{ n: 2 }])
      // What was committed is there when the process is that had it, also if only the log has it.
      const reader = yield* connect(server)
      yield* reader.request(request("SELECT sum(i) FROM items, range(1000000000000) r(i)"))
      assert.match(yield* reader.next, /^A /)
      yield* rows(server, "ALTER TABLE items ALTER id TYPE VARCHAR")
      yield* rows(server, "ALTER TABLE items ADD COLUMN price INTEGER DEFAULT abs(-3)")
      const [child = 0] = childrenOf(server.pid)
      process.kill(child, "SIGKILL")
      yield* server.line(/Error: dataconn engine 1 .* SIGKILL.* is started again/)
      assert.deepStrictEqual(yield* rows(server, "FROM items ORDER BY id"), [
        { id: "7", name: "pen", price: 3 },
        { id: "8", name: "ink", price: 3 }
      ])
      yield* server.line(/The log of .*shop\.duckdb has been replayed/)
      assert.notInclude(childrenOf(server.pid), child)
      yield* server.kill("SIGTERM")
      assert.strictEqual(yield* server.exit, 0)
      assert.deepStrictEqual(readdirSync(dirname(path)), ["shop.duckdb"])
    })
  )

  it.live("are held to the limits of results", () =>
    Effect.gen(function* () {
      const server = yield* Dataconn.serveTiny(["--max-result-rows", "3", "--max-result-bytes", "1 KiB"])
      const peer = yield* connect(server)
      for (const [query, limit] of [
        ["FROM range(4)", "maxResultRows"],
        ["SELECT repeat('x', 2000)", "maxResultBytes"]
      ] as const) {
        yield* peer.request(request(query))
        const { end } = yield* Response.take(peer)
        assert.match(end, /^E .*execution_failed/)
        assert.include(end, limit)
      }
      assert.strictEqual(yield* Response.result(peer, request("SELECT 1 AS a")), `[{"a":1}]`)
    })
  )

  it.live("are CSV, JSON and Parquet files by name with --table, and nothing else of the disk", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make
      const file = (name: string) => join(folder, name)
      writeFileSync(file("a.csv"), "id,name\n1,one\n2,two\n")
      writeFileSync(file("b.json"), `[{"id":3,"name":"three"}]`)
      yield* Effect.promise(async () => {
        const instance = await DuckDBInstance.create()
        const connection = await instance.connect()
        await connection.run(`COPY (SELECT 4 AS id, 'four' AS name) TO '${file("c.parquet")}'`)
        connection.closeSync()
        instance.closeSync()
      })
      const tables = ["a=a.csv", "b=b.json", "c=c.parquet"].flatMap((table) => ["--table", table])
      const server = yield* Dataconn.serve(tables, { cwd: folder })
      assert.deepStrictEqual(
        yield* rows(server, "SELECT id, name FROM a UNION ALL FROM b UNION ALL FROM c ORDER BY id"),
        [
          { id: 1, name: "one" },
          { id: 2, name: "two" },
          { id: 3, name: "three" },
          { id: 4, name: "four" }
        ]
      )
      const peer = yield* connect(server)
      yield* peer.request(request("FROM read_text('/etc/hostname')"))
      assert.match((yield* Response.take(peer)).end, /^J /)
      yield* peer.request(request("FROM trades"))
      assert.match((yield* Response.take(peer)).end, /^J .*not_found/)
    })
  )
})

describe("a server whose DuckDB is in a thread of its own", () => {
  const env = { DATACONN_ISOLATE: "thread" }

  it.live("answers, sees replaced files, and ends with nothing left behind", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make
      const file = join(folder, "a.csv")
      writeFileSync(file, "id\n1\n")
      const server = yield* Dataconn.serve(["--table", `t=${file}`], { env: { ...env, TMPDIR: folder } })
      assert.match(yield* server.line(/Started/), /isolate thread/)
      assert.deepStrictEqual(yield* rows(server, "FROM t"), [{ id: 1 }])
      writeFileSync(file, "id\n2\n")
      yield* server.kill("SIGHUP")
      yield* server.line(/Reloaded/)
      assert.deepStrictEqual(yield* rows(server, "FROM t"), [{ id: 2 }])
      const peer = yield* connect(server)
      yield* peer.request(request("FROM read_text('/etc/hostname')"))
      assert.match((yield* Response.take(peer)).end, /^J .*not_allowed/)
      yield* server.kill("SIGTERM")
      assert.strictEqual(yield* server.exit, 0)
      assert.deepStrictEqual(readdirSync(folder), ["a.csv"])
    })
  )

  it.live("commits what clients write", () =>
    Effect.gen(function* () {
      const database = join(yield* Folder.make, "a.duckdb")
      const args = ["--database", database, "--read-write"]
      const server = yield* Dataconn.serve(args, { env })
      assert.deepStrictEqual(yield* rows(server, "CREATE TABLE a AS SELECT 1 AS n"), [{ Count: 1 }])
      assert.deepStrictEqual(yield* rows(server, "INSERT INTO a VALUES (2) RETURNING n"), [{ n: 2 }])
      yield* server.kill("SIGTERM")
      assert.strictEqual(yield* server.exit, 0)
      const again = yield* Dataconn.serve(args, { env })
      assert.deepStrictEqual(yield* rows(again, "SELECT sum(n)::INTEGER AS n FROM a"), [{ n: 3 }])
    })
  )
})

describe("a database in the server's process that DuckDB gives up", () => {
  const embedded = ["--isolate", "none"]
  const preload = new URL("../support/Invalidate.ts", import.meta.url).pathname
  const [node, main] = Dataconn.source
  const program = [node, "--import", preload, main] as const

  it.live("is opened again where nothing is lost by it", () =>
    Effect.gen(function* () {
      const server = yield* Dataconn.serve(embedded, { program })
      yield* server.address
      yield* server.kill("SIGUSR2")
      yield* server.line(/^invalidated/)
      assert.deepStrictEqual(yield* rows(server, "SELECT count(*) AS n FROM trades"), [{ n: 100_000 }])
      yield* server.line(/DuckDB gave the database up; it is opened again/)
      yield* server.kill("SIGTERM")
      assert.strictEqual(yield* server.exit, 0)
    })
  )

  it.live("ends the server where clients could have changed it in memory", () =>
    Effect.gen(function* () {
      const server = yield* Dataconn.serve([...embedded, "--read-write"], { program })
      const peer = yield* connect(server)
      yield* server.kill("SIGUSR2")
      yield* server.line(/^invalidated/)
      yield* peer.request(request("SELECT 1"))
      yield* Response.take(peer)
      assert.strictEqual(yield* server.exit, 1)
      assert.include(server.stderr(), "dataconn: the database in memory failed and is lost")
    })
  )
})

describe("the settings", () => {
  it.live("come from flags first, then the environment, then the file", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make
      const config = join(folder, "dataconn.json")
      const socket = join(folder, "socket")
      writeFileSync(join(folder, "a.csv"), "id\n1\n")
      writeFileSync(
        config,
        JSON.stringify({
          listen: [`unix:${socket}`],
          tables: { a: join(folder, "a.csv") },
          logFormat: "json",
          logBodyLength: 5,
          maxConnections: 3
        })
      )
      const server = yield* Dataconn.run(["serve", "--log-body-length", "7"], {
        env: { DATACONN_CONFIG: config, DATACONN_LOG_FORMAT: "text", DATACONN_LOG_BODY_LENGTH: "6" }
      })
      yield* server.line(/^\S+ Started/)
      const peer = yield* LiveServer.connect({ _tag: "Unix", path: socket })
      assert.strictEqual(yield* Response.result(peer, request("FROM a")), `[{"id":1}]`)
      yield* server.line(/ request: \{"versi…$/)
    })
  )

  it.live("may be the environment's alone", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make
      writeFileSync(join(folder, "a.csv"), "id\n1\n")
      const server = yield* Dataconn.run(["serve"], {
        cwd: folder,
        env: {
          DATACONN_LISTEN: "127.0.0.1:0",
          DATACONN_TABLES: "a=a.csv",
          DATACONN_THREADS: "1",
          DATACONN_MAX_CONECTIONS: "5",
          DATACONN_ENGINES: "3",
          DATACONN_HTTP_TOKENS: "tokens.json"
        }
      })
      assert.deepStrictEqual(yield* rows(server, "FROM a"), [{ id: 1 }])
      yield* server.line(
        /Warn: No setting has the name of DATACONN_MAX_CONECTIONS \(did you mean DATACONN_MAX_CONNECTIONS\?\)$/
      )
      yield* server.line(
        /Warn: These settings have no effect where DATACONN_ISOLATE is none: DATACONN_ENGINES; without --http: DATACONN_HTTP_TOKENS$/
      )
    })
  )
})

describe.concurrent("what is wrong is one line on standard error, and exit code 1", () => {
  const complaint = Effect.fnUntraced(function* (args: ReadonlyArray<string>, options?: Dataconn.Options) {
    const server = yield* Dataconn.run(args, options)
    const exit = yield* server.exit
    const stderr = server.stderr()
    assert.strictEqual(exit, 1, stderr)
    assert.deepStrictEqual(server.lines(), [])
    assert.match(stderr, /^[^\n]+\n$/)
    return stderr.trimEnd()
  })

  const listen = ["serve", "--listen", "127.0.0.1:0"]

  const complaints: ReadonlyArray<readonly [args: ReadonlyArray<string>, said: string]> = [
    [["--threads", "abc"], "dataconn: --threads: expected a whole number of at least 1"],
    [["--max-columns", "0"], "dataconn: --max-columns: expected a whole number of at least 1"],
    [
      ["--max-result-rows", "0"],
      "dataconn: --max-result-rows: expected a whole number of at least 1, or Infinity"
    ],
    [["--max-result-bytes", "0"], "dataconn: --max-result-bytes: expected a size of at least 1 B"],
    [["--max-row-size", "1 GiB"], "dataconn: --max-row-size: expected a size of at least 1 B and at most"],
    [["--max-connections", "0"], "dataconn: --max-connections: expected a whole number of at least 1"],
    [["--drain-timeout", "soon"], "dataconn: --drain-timeout: expected a duration of zero or more"],
    [["--chunk-size", "big"], "dataconn: --chunk-size: expected a size of at least 1 B"],
    [["--isolate", "maybe"], `dataconn: --isolate: expected "process" | "thread" | "none"`],
    [
      ["--isolate", "process", "--engines", "2", "--read-write"],
      "dataconn: engines: expected 1 where clients can change the data"
    ],
    [["--engine-memory", "some"], "dataconn: --engine-memory: expected a size of at least 1 B"],
    [["--cancel-grace", "soon"], "dataconn: --cancel-grace: expected a duration"],
    [["--engines", "3"], "dataconn: --engines: has no effect where DATACONN_ISOLATE is none"],
    [["--landlock", "require", "--allow-external-access"], "dataconn: landlock: require cannot be had with"],
    [["--log-format", "xml"], `dataconn: --log-format: expected "text" | "json"`],
    [["--listen", "::1"], `dataconn: --listen: "::1" is no address: an IPv6 address stands in brackets`],
    [["--table", "trades"], "dataconn: --table trades: expected NAME=FILE"],
    [
      ["--table", "t=a.csv", "--table", "T=b.csv"],
      "dataconn: --table T=b.csv: t is already a.csv; choose another name"
    ],
    [["--database", bin], `dataconn: database: ${bin} is not a DuckDB file`],
    [["--table", `t=${bin}.db`], `dataconn: tables.t: there is no file ${bin}.db`],
    [
      ["--spill-directory", "/nowhere"],
      "dataconn: spillDirectory: no directory could be made in /nowhere: there is no such directory"
    ],
    [["--max-spill", "much"], "dataconn: --max-spill: expected a size"],
    [["--log-buffer-size", "0"], "dataconn: --log-buffer-size: expected a size of at least 1 B"],
    [["--landlock", "maybe"], `dataconn: --landlock: expected "auto" | "require" | "off"`],
    [["--table", "a=nowhere.csv"], `dataconn: tables.a: there is no file ${resolve("nowhere.csv")}`],
    [["--database", "/nonexistent/x.duckdb"], "dataconn: database: "],
    [["--memory-limit", "much"], "dataconn: memoryLimit: "],
    [
      ["--config", "/nonexistent.json"],
      "dataconn: Configuration file /nonexistent.json (--config): there is no such file"
    ],
    [["--conections", "3"], "dataconn serve: Unrecognized flag: --conections"],
    [["--max-conections", "3"], "did you mean --max-connections? (see dataconn serve --help)"],
    [["--max-connections"], "dataconn serve: Missing value for flag --max-connections"],
    [["extra"], `dataconn serve: Unexpected positional argument: "extra"`]
  ]

  it.live.each(some(complaints, 8))("%j", ([args, said]) =>
    Effect.gen(function* () {
      assert.include(yield* complaint([...listen, ...args]), said)
    })
  )

  it.live("an unknown command", () =>
    Effect.gen(function* () {
      assert.include(yield* complaint(["sevre"]), `dataconn: Unknown subcommand "sevre"`)
    })
  )

  it.live("memory that does not suffice, by the setting that bounds it", () =>
    Effect.gen(function* () {
      assert.match(
        yield* complaint([...listen, "--engine-memory", "1MB"], Dataconn.isolated),
        /^dataconn: engineMemory: 1000000 B is too small \(sample: /
      )
      assert.match(
        yield* complaint([...listen, "--memory-limit", "1MB"], Dataconn.isolated),
        /^dataconn: memoryLimit: 1MB is too small \(sample: /
      )
    })
  )

  it.live("a name that two tables have in a variable", () =>
    Effect.gen(function* () {
      assert.strictEqual(
        yield* complaint(listen, { env: { DATACONN_TABLES: "a=a.csv,A=b.csv" } }),
        "dataconn: DATACONN_TABLES A=b.csv: a is already a.csv; choose another name"
      )
    })
  )

  it.live("a variable", () =>
    Effect.gen(function* () {
      assert.strictEqual(
        yield* complaint(listen, { env: { DATACONN_MAX_CONNECTIONS: "many" } }),
        'dataconn: DATACONN_MAX_CONNECTIONS: expected a whole number of at least 1, got "many"'
      )
    })
  )

  it.live("a port that is taken", () =>
    Effect.gen(function* () {
      const { port } = yield* Effect.acquireRelease(
        Effect.callback<Net.AddressInfo & { server: Net.Server }>((resume) => {
          const server = Net.createServer()
          server.listen(0, "127.0.0.1", () =>
            resume(Effect.succeed({ ...(server.address() as Net.AddressInfo), server }))
          )
        }),
        ({ server }) => Effect.sync(() => server.close())
      )
      const said = yield* complaint(["serve", "--listen", `127.0.0.1:${port}`])
      assert.match(said, /^dataconn: Cannot listen on 127\.0\.0\.1:\d+ \(listen\): .*address already in use/)
    })
  )

  it.live("a socket in a directory that is not there", () =>
    Effect.gen(function* () {
      const said = yield* complaint(["serve", "--listen", "unix:/nonexistent/x.sock"])
      assert.match(said, /^dataconn: Cannot listen on unix:\/nonexistent\/x\.sock \(listen\): ENOENT/)
    })
  )

  it.live.each(
    some<[contents: string | Uint8Array, said: string]>(
      [
        ["not JSON", `is not JSON: Unexpected token 'o', "not JSON" is not valid JSON`],
        ["[]", "is not a JSON object"],
        [Buffer.from([0x7b, 0xff]), "it is not UTF-8 at byte offset 1"],
        [`{"maxConections":1}`, "has no setting named maxConections; did you mean maxConnections?"],
        [`{"listen":[]}`, "listen: expected an address or a list of addresses"],
        [`{"listen":{}}`, "listen: expected an address or a list of addresses"],
        [`{"tables":["a.csv"]}`, "tables: expected an object of files by name"],
        [`{"backlog":[1]}`, "backlog: expected text, a number, true or false"],
        [`{"backlog":1,"backlog":2}`, "backlog is there twice; which is meant?"]
      ],
      3
    )
  )("a configuration file with %s", ([contents, said]) =>
    Effect.gen(function* () {
      const path = join(yield* Folder.make, "dataconn.json")
      writeFileSync(path, contents)
      assert.strictEqual(
        yield* complaint([...listen, "--config", path]),
        `dataconn: Configuration file ${path} (--config): ${said}`
      )
    })
  )

  it.live("a value in a configuration file", () =>
    Effect.gen(function* () {
      const path = join(yield* Folder.make, "dataconn.json")
      writeFileSync(path, `{"readWrite":"perhaps"}`)
      assert.strictEqual(
        yield* complaint([...listen, "--config", path]),
        `dataconn: readWrite in ${path}: expected true or false, got "perhaps"`
      )
    })
  )
})

describe("an old Node", () => {
  const withVersion = (version: string, ...args: ReadonlyArray<string>) => {
    const fake = `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "${version}" } });
      Object.defineProperty(process, "version", { value: "v${version}" })`
    const [node, bin] = Dataconn.program
    return Dataconn.run(args, {
      program: [node, "--import", `data:text/javascript,${encodeURIComponent(fake)}`, bin]
    })
  }

  it.live.each(some(["20.20.2", "22.18.0", "18.0.0"], 2))("%s is told which one is needed", (version) =>
    Effect.gen(function* () {
      const command = yield* withVersion(version, "serve")
      assert.strictEqual(yield* command.exit, 1)
      assert.strictEqual(command.stderr(), `dataconn needs Node 22.19 or newer; this is v${version}.\n`)
    })
  )

  it.live.each(["22.19.0", "24.0.0"])("is none of %s", (version) =>
    Effect.gen(function* () {
      const command = yield* withVersion(version, "--version")
      assert.strictEqual(yield* command.exit, 0)
      assert.match(command.lines().join(), /^dataconn v\d/)
    })
  )
})

describe("the log", () => {
  it.live("shows no values of parameters and metadata, not even in the errors that quote them", () =>
    Effect.gen(function* () {
      const table = join(yield* Folder.make, "a.csv")
      writeFileSync(table, "id\n1\n")
      for (const format of ["text", "json"]) {
        const server = yield* Dataconn.serve(["--table", `a=${table}`, "--log-format", format])
        const peer = yield* connect(server)
        yield* peer.request(
          JSON.stringify({
            version: "v1",
            query: "SELECT $p::INTEGER",
            parameters: { p: "hunter2" },
            metadata: { token: "s3cret" },
            queryId: "mine\n\u001b[2J\u202e"
          })
        )
        assert.include((yield* Response.take(peer)).end, "hunter2")
        yield* server.line(/(rejected|error) \(queryId mine/)
        const log = server.lines().join("\n")
        assert.notInclude(log, "hunter2")
        assert.notInclude(log, "s3cret")
        assert.match(log, /token\\?":\\?"6 B/)
        // Nor do they leave their line or reach the terminal.
        for (const hostile of ["\u001b", "\u202e"]) assert.notInclude(log, hostile)
        for (const line of server.lines()) assert.match(line, /^(\d{4}-|\{)/)
      }
    })
  )
})

describe("the debugger", () => {
  it.live("is not opened by SIGUSR1", () =>
    Effect.gen(function* () {
      const server = yield* Dataconn.serveTiny()
      const peer = yield* connect(server)
      yield* server.kill("SIGUSR1")
      assert.strictEqual(yield* Response.result(peer, request("SELECT 1 AS a")), `[{"a":1}]`)
      yield* server.kill("SIGTERM")
      assert.strictEqual(yield* server.exit, 0)
      assert.strictEqual(server.stderr(), "")
    })
  )
})

describe("the log's reader", () => {
  it.live("may be slow: no more than --log-buffer-size waits for it, and it is told what it missed", () =>
    Effect.gen(function* () {
      const server = yield* Dataconn.serveTiny(["--log-buffer-size", "4 KiB", "--log-body-length", "1 MiB"])
      const peer = yield* connect(server)
      yield* server.pauseOutput
      // More than the pipe and its two ends hold.
      const long = request(`SELECT 1 AS a -- ${"x".repeat(100_000)}`)
      for (let i = 0; i < 10; i++) assert.strictEqual(yield* Response.result(peer, long), `[{"a":1}]`)
      yield* server.resumeOutput
      const said = yield* server.line(/Warn: The log was not read in time: \d+ lines were dropped/)
      assert.match(said, /\(logBufferSize\)$/)
      yield* peer.close
      yield* server.line(/disconnected/)
      yield* server.pauseOutput
      yield* server.kill("SIGTERM")
      assert.strictEqual(yield* server.exit, 0)
    })
  )

  it.live("may leave: the server goes on, and still stops when it is told to", () =>
    Effect.gen(function* () {
      const server = yield* Dataconn.serveTiny()
      const peer = yield* connect(server)
      yield* server.closeOutput
      for (let i = 0; i < 10; i++) {
        assert.strictEqual(yield* Response.result(peer, request("SELECT 1 AS a")), `[{"a":1}]`)
      }
      yield* server.kill("SIGTERM")
      assert.strictEqual(yield* server.exit, 0)
      assert.strictEqual(server.stderr(), "")
    })
  )
})
