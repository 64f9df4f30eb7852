/**
 * What a running server makes of SIGHUP.
 */
import { mkdirSync, renameSync, rmdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as JsonNames from "../../src/engine/JsonNames.ts"
import * as Dataconn from "../support/Dataconn.ts"
import * as Folder from "../support/Folder.ts"
import * as LiveServer from "../support/LiveServer.ts"
import * as Poll from "../support/Poll.ts"
import * as Response from "../support/Response.ts"

const request = (query: string): string => JSON.stringify({ version: "v1", query })

const start = Effect.fnUntraced(function* (options: Dataconn.Options = {}) {
  const folder = yield* Folder.make
  const path = (name: string) => join(folder, name)
  const configure = (settings: object) => writeFileSync(path("dataconn.json"), JSON.stringify(settings))
  const cwd = path("cwd")
  mkdirSync(cwd)
  const tables = { t: join("..", "*.csv") }
  writeFileSync(path("a.csv"), "id\n1\n")
  configure({ tables })
  const server = yield* Dataconn.serve(["--config", path("dataconn.json"), "--threads", "1"], {
    ...options,
    cwd
  })
  const peer = yield* Effect.flatMap(server.address, LiveServer.connect)
  // Its working directory is nothing that a running server needs.
  rmdirSync(cwd)
  const count = (pattern: RegExp) => server.lines().filter((line) => pattern.test(line)).length
  /** Sends the signal, and waits for what the server says. */
  const reload = (said: RegExp) =>
    Effect.gen(function* () {
      const before = count(said)
      yield* server.kill("SIGHUP")
      yield* Poll.until(`the server says ${said}`, () => count(said) > before)
    })
  const ask = (query: string) => Response.result(peer, request(query))
  const ending = (query: string) =>
    Effect.andThen(
      peer.request(request(query)),
      Effect.map(Response.take(peer), ({ end }) => end)
    )
  return { path, configure, tables, server, peer, reload, ask, ending, count }
})

describe("SIGHUP", () => {
  it.live("has a server see other files and settings, and drops nobody", () =>
    Effect.gen(function* () {
      const { ask, configure, count, ending, path, peer, reload, server, tables } = yield* start(
        Dataconn.isolated
      )
      const total = "SELECT count(*) AS n, sum(id)::INTEGER AS sum FROM t"
      assert.strictEqual(yield* ask(total), `[{"n":1,"sum":1}]`)

      // A file more, and another one in the place of the first, as it is usually put there.
      writeFileSync(path("b.csv"), "id,b\n2,x\n")
      writeFileSync(path("a.new"), "id\n40\n")
      renameSync(path("a.new"), path("a.csv"))
      yield* reload(/ Reloaded: /)
      assert.strictEqual(yield* ask(total), `[{"n":2,"sum":42}]`)
      assert.strictEqual(yield* ask("SELECT b FROM t WHERE b IS NOT NULL"), `[{"b":"x"}]`)

      // Limits, of the engine and of the server.
      configure({ tables, maxResultRows: 1, maxQueuedQueries: 7 })
      yield* reload(/ Reloaded: .*maxQueuedQueries 7, .*maxResultRows 1/)
      assert.match(yield* ending("SELECT id FROM t"), /^E .*maxResultRows/)

      // What is wrong changes nothing.
      for (const wrong of [
        { tables, maxResultRows: "few" },
        { tables: { t: path("nowhere.csv") } },
        { table: {} }
      ]) {
        configure(wrong)
        yield* reload(/ Error: Not reloaded, everything stays as it was: /)
        assert.match(yield* ending("SELECT id FROM t"), /^E .*maxResultRows/)
      }

      // What cannot change is said, and the rest is done.
      configure({ tables, backlog: 7 })
      yield* reload(/ Reloaded: /)
      yield* server.line(/Warn: backlog: not reloaded; other values need another start/)
      assert.strictEqual(yield* ask(total), `[{"n":2,"sum":42}]`)

      assert.strictEqual(count(/Accepted connection/), 1)
      assert.strictEqual(count(/disconnected/), 0)
      yield* peer.close
      yield* server.kill("SIGTERM")
      assert.strictEqual(yield* server.exit, 0)
      assert.strictEqual(server.stderr(), "")
    })
  )

  it.live("leaves a table out that was served and cannot be any more", () =>
    Effect.gen(function* () {
      const { ask, configure, ending, path, reload, tables } = yield* start()
      writeFileSync(path("gone.tsv"), "id\n7\n")
      writeFileSync(path("b.csv"), "id\n2\n")
      configure({ tables: { ...tables, gone: path("gone.tsv") } })
      yield* reload(/ Reloaded: /)
      assert.strictEqual(yield* ask("FROM gone"), `[{"id":7}]`)
      rmSync(path("gone.tsv"))
      rmSync(path("a.csv"))
      yield* reload(/ Reloaded: /)
      assert.strictEqual(yield* ask("FROM t"), `[{"id":2}]`)
      assert.match(yield* ending("FROM gone"), /^J .*The file of the table gone could not be read/)
      writeFileSync(path("gone.tsv"), "id\n8\n")
      yield* reload(/ Reloaded: /)
      assert.strictEqual(yield* ask("FROM gone"), `[{"id":8}]`)
    })
  )

  it.live("lets a running query finish with what it began with", () =>
    Effect.gen(function* () {
      const { path, reload, server } = yield* start()
      const reader = yield* Effect.flatMap(server.address, (address) =>
        LiveServer.dial(address, { paused: true })
      )
      const body = request("SELECT repeat('x', 1000) AS a, id FROM t, range(20000)")
      const header = Buffer.alloc(5)
      header.writeUInt32LE(body.length)
      header.write("R", 4)
      reader.socket.write(Buffer.concat([header, Buffer.from(body)]))
      yield* server.line(/ accept: /)
      writeFileSync(path("a.new"), "id\n40\n")
      renameSync(path("a.new"), path("a.csv"))
      yield* reload(/ Reloaded: /)
      reader.socket.resume()
      yield* server.line(/ complete \(queryId \w+, 20000 rows, /)
    })
  )
})

describe("a file of settings", () => {
  it.each<[json: string, name: string | undefined]>([
    [`{"a":1,"b":{"a":2},"c":[{"a":1},{"a":1}]}`, undefined],
    [`{"a":1,"b":"\\"a\\":","a":2}`, "a"],
    [`{"tables":{"t":"a.csv","x":"b.csv","\\u0074":"c.csv"}}`, "t"],
    [`{"a":[1,{"b":1,"b":2}]}`, "b"],
    ["{}", undefined]
  ])("has every name once: %s", (json, name) => {
    assert.strictEqual(JsonNames.repeated(json), name)
  })
})
