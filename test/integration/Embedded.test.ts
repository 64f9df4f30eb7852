import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Served from "../gateway/Served.ts"
import * as Dataconn from "../support/Dataconn.ts"
import type { Kind } from "../support/Embedded.ts"
import * as LiveServer from "../support/LiveServer.ts"
import * as Response from "../support/Response.ts"

const program = new URL("../support/Embedded.ts", import.meta.url).pathname

const start = (kind: Kind, env: Readonly<Record<string, string>> = {}) =>
  Dataconn.run([program, kind], {
    program: [process.execPath],
    env: { DATACONN_LISTEN: "127.0.0.1:0", DATACONN_DRAIN_TIMEOUT: "1 hour", ...env }
  })

describe("a program that embeds a server", () => {
  it.live("reads its settings from the environment, and stops at the second signal", () =>
    Effect.gen(function* () {
      const child = yield* start("tiny", { DATACONN_MAX_FRAME_SIZE: "20 B" })
      const peer = yield* LiveServer.connect(yield* child.address)
      yield* peer.request("echo much too long")
      assert.match(yield* peer.next, /^J \{"code":"too_large"/)
      yield* peer.request("silent")
      assert.strictEqual(yield* peer.next, "A yes")
      yield* child.kill("SIGTERM")
      const { address } = child
      const dial = Effect.flatMap(address, (address) => Effect.scoped(LiveServer.dial(address)))
      // The server drains: it takes nobody any more.
      while ((yield* Effect.exit(dial))._tag === "Success") yield* Effect.sleep(5)
      assert.isTrue(child.running())
      yield* child.kill("SIGINT")
      assert.match(yield* peer.next, /^E .*shutting_down/)
      assert.strictEqual(yield* child.exit, 0)
    })
  )

  it.live("ends the queries of its gateway at the second signal, too", () =>
    Effect.gen(function* () {
      const child = yield* start("gateway")
      const url = `http://${/on (\S+?)\.\.\./.exec(yield* child.line(/Opening HTTP socket on /))?.[1]}`
      const status = (path: string) => Effect.map(Served.fetched(`${url}${path}`), ({ status }) => status)
      const asking = yield* Effect.forkChild(Served.fetched(`${url}/v1/query?query=stuck&queryId=mine`))
      while ((yield* status("/v1/queries/mine")) === 404) yield* Effect.sleep(5)
      yield* child.kill("SIGTERM")
      while ((yield* status("/readyz")) === 200) yield* Effect.sleep(5)
      assert.isUndefined(asking.pollUnsafe())
      yield* child.kill("SIGTERM")
      const answer = yield* Fiber.join(asking)
      assert.deepStrictEqual([answer.status, answer.json()["code"]], [503, "shutting_down"])
      assert.strictEqual(yield* child.exit, 0)
    })
  )

  it.live("ends at a signal although a thread does not", () =>
    Effect.gen(function* () {
      const child = yield* start("thread")
      const peer = yield* LiveServer.connect(yield* child.address)
      yield* peer.request(JSON.stringify({ version: "v1", query: "stuck forever", timeoutMs: 500 }))
      assert.match((yield* Response.take(peer)).end, /"timeout"/)
      yield* child.line(/\(thread \d+\) was to end and still runs/)
      const answer = yield* Response.result(peer, JSON.stringify({ version: "v1", query: "echo" }))
      assert.strictEqual(answer, "echo")
      yield* child.kill("SIGTERM")
      assert.strictEqual(yield* child.exit, 0)
    })
  )

  it.live("is told of too few threads for DuckDB's queries", () =>
    Effect.gen(function* () {
      const child = yield* start("duckdb", { DATACONN_MAX_CONCURRENT_QUERIES: "4" })
      const warning = yield* child.line(/UV_THREADPOOL_SIZE/)
      assert.match(warning, /WARN.*UV_THREADPOOL_SIZE is 4, too few for 4 queries \(maxConcurrentQueries\)/)
      yield* child.address
      yield* child.kill("SIGTERM")
      yield* child.exit
    })
  )
})
