import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Dataconn from "../support/Dataconn.ts"
import * as LiveServer from "../support/LiveServer.ts"
import * as Poll from "../support/Poll.ts"
import * as ProcessStatus from "../support/ProcessStatus.ts"
import * as Response from "../support/Response.ts"
import * as TinyEngine from "../support/TinyEngine.ts"

/** How many descriptors a process has open. */
const descriptors = (pid: number): number => ProcessStatus.read(pid).handles

describe("many connections", () => {
  it.live("are served at once", () =>
    Effect.gen(function* () {
      const live = yield* LiveServer.start(TinyEngine.make().engine)
      const peers = yield* Effect.replicateEffect(LiveServer.connect(live.address), 200)
      yield* live.event("Opened", 199)
      assert.strictEqual(yield* live.server.connections, 200)
      for (let round = 0; round < 3; round++) {
        const results = yield* Effect.forEach(peers, (peer, i) => Response.result(peer, `echo ${i}`), {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(
          results,
          peers.map((_, i) => String(i))
        )
      }
      yield* live.stop
      const words = yield* Effect.forEach(peers, ({ rest }) => rest)
      assert.isTrue(words.every((all) => all.length === 2 && /^J .*shutting_down/.test(all[0] ?? "")))
    })
  )

  it.live.skipIf(!ProcessStatus.isAvailable)(
    "that come and go leave no connection, query or descriptor behind",
    () =>
      Effect.gen(function* () {
        const tiny = TinyEngine.make()
        const live = yield* LiveServer.start(tiny.engine)
        const cycle = Effect.scoped(
          Effect.gen(function* () {
            const peer = yield* LiveServer.connect(live.address)
            assert.strictEqual(yield* Response.result(peer, "echo on"), "on")
          })
        )
        yield* cycle
        yield* live.event("Closed")
        const before = descriptors(process.pid)
        yield* Effect.replicateEffect(cycle, 500, { concurrency: 10, discard: true })
        yield* live.event("Closed", 500)
        assert.strictEqual(yield* live.server.connections, 0)
        assert.deepStrictEqual([tiny.begun(), tiny.ended()], [501, 501])
        yield* Poll.until("the descriptors are closed", () => descriptors(process.pid) <= before)
      })
  )

  it.live.skipIf(!ProcessStatus.isAvailable)(
    "more than the process has descriptors for do not stop the server",
    () =>
      Effect.gen(function* () {
        const [command, ...args] = Dataconn.program
        const server = yield* Dataconn.serveTiny([], {
          program: ["sh", "-c", `ulimit -n 160; exec "$0" "$@"`, command, ...args]
        })
        const address = yield* server.address
        yield* server.line(
          /Warn: This process may have 160 files and sockets open .*maxConnections is 16 instead/
        )
        const before = descriptors(server.pid)
        yield* Effect.scoped(
          Effect.gen(function* () {
            const crowd = yield* Effect.replicateEffect(LiveServer.dial(address), 250)
            yield* Poll.until("some are closed unheard", () =>
              crowd.some(({ socket }) => socket.readableEnded)
            )
          })
        )
        yield* Poll.until("the server has let the crowd go", () => descriptors(server.pid) <= before)
        const peer = yield* LiveServer.connect(address)
        const result = yield* Response.result(peer, `{"version":"v1","query":"SELECT 42 AS answer"}`)
        assert.deepStrictEqual(JSON.parse(result), [{ answer: 42 }])
        yield* server.kill("SIGTERM")
        assert.strictEqual(yield* server.exit, 0)
        assert.strictEqual(server.stderr(), "")
      })
  )
})
