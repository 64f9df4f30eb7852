/** A server that may be changed, with a database file: what is in the file after each way for a response to end. */
import { join } from "node:path"
import { DuckDBInstance } from "@duckdb/node-api"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Dataconn from "../support/Dataconn.ts"
import * as Folder from "../support/Folder.ts"
import * as LiveServer from "../support/LiveServer.ts"
import type * as Peer from "../support/Peer.ts"
import * as Response from "../support/Response.ts"

const request = (query: string, fields: object = {}): string =>
  JSON.stringify({ version: "v1", query, ...fields })

const ask = (peer: Peer.Peer, query: string) => Response.result(peer, request(query))

/** More than sockets and the server hold for a client that does not read. */
const large = request("INSERT INTO t SELECT range, repeat('x', 1000) FROM range(16000) RETURNING *")

const endless = "INSERT INTO t SELECT a.range, '' FROM range(100000) AS a, range(1000000) AS b RETURNING *"

const open = Effect.fnUntraced(function* (database: string) {
  const server = yield* Dataconn.serve(["--database", database, "--read-write", "--drain-timeout", "1s"])
  const address = yield* server.address
  const connect = LiveServer.connect(address)
  /** A client that has begun to receive the result of a large write, and reads no further. */
  const writing = Effect.fnUntraced(function* () {
    const peer = yield* connect
    yield* peer.request(large)
    while (!(yield* peer.next).startsWith("I ")) yield* Effect.void
    return peer
  })
  const count = Effect.scoped(Effect.flatMap(connect, (peer) => ask(peer, "SELECT count(*) AS n FROM t")))
  return { server, connect, writing, count }
})

/** The message that ends a response. */
const last = (peer: Peer.Peer): Effect.Effect<string> =>
  Effect.flatMap(peer.next, (frame) => (/^[AHI]/.test(frame) ? last(peer) : Effect.succeed(frame)))

/** What is in a file that no server has open. */
const stored = (database: string) =>
  Effect.promise(async () => {
    const instance = await DuckDBInstance.create(database)
    const connection = await instance.connect()
    const rows = await (await connection.run("SELECT count(*) FROM t")).getRows()
    connection.disconnectSync()
    instance.closeSync()
    return rows
  })

const none = '[{"n":0}]'

describe("a write to a database file", () => {
  it.live(
    "is there after F, and not after anything else",
    () =>
      Effect.gen(function* () {
        const database = join(yield* Folder.make, "test.duckdb")
        const first = yield* open(database)
        yield* Effect.scoped(
          Effect.flatMap(first.connect, (peer) => ask(peer, "CREATE TABLE t(v BIGINT, s VARCHAR)"))
        )
        const cancelled = yield* first.writing()
        yield* cancelled.cancel
        assert.strictEqual(yield* last(cancelled), "K")
        assert.strictEqual(yield* first.count, none)

        yield* cancelled.request(request(endless, { timeoutMs: 500 }))
        assert.match(yield* last(cancelled), /^E .*"code":"timeout"/)
        assert.strictEqual(yield* first.count, none)

        const lost = yield* first.writing()
        yield* lost.reset
        assert.strictEqual(yield* first.count, none)

        const whole = yield* first.writing()
        assert.match(yield* last(whole), /^F/)
        const killed = yield* first.writing()
        yield* first.server.kill("SIGKILL")
        assert.strictEqual(yield* first.server.exit, "SIGKILL")
        assert.match(yield* last(killed), /^(closed|reset)$/)
        assert.deepStrictEqual(yield* stored(database), [[16000n]])

        const second = yield* open(database)
        const stopped = yield* second.connect
        yield* stopped.request(request(endless))
        assert.match(yield* stopped.next, /^[AH]/)
        yield* second.server.kill("SIGTERM")
        assert.match(yield* last(stopped), /^E .*"code":"shutting_down"/)
        assert.strictEqual(yield* second.server.exit, 0)
        assert.deepStrictEqual(yield* stored(database), [[16000n]])
      }),
    // Two processes start one after the other.
    120_000
  )
})
