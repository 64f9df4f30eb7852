/**
 * A result that fails on its way passes for whole with no client, in no format.
 */
import * as Net from "node:net"
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as TestClock from "effect/testing/TestClock"
import * as Address from "../../src/net/Address.ts"
import * as LiveServer from "../support/LiveServer.ts"
import * as TcpPair from "../support/TcpPair.ts"
import * as Failures from "./Failures.ts"
import * as RowEngine from "./RowEngine.ts"
import * as Served from "./Served.ts"

const cut = (sockets: ReadonlySet<Net.Socket>): void => {
  for (const socket of sockets) socket.resetAndDestroy()
}

/** A gateway whose connections to its back-end can be cut, as the system does for a process that was killed. */
const start = Effect.gen(function* () {
  const engine = RowEngine.make()
  const { address } = yield* LiveServer.start(engine.engine)
  const sockets = new Set<Net.Socket>()
  const port = yield* TcpPair.listen(
    Net.createServer((front) => {
      const back = Net.connect(address as Net.TcpNetConnectOpts)
      for (const socket of [front, back]) {
        sockets.add(socket)
        socket.on("error", () => {})
        socket.on("close", () => sockets.delete(socket))
      }
      front.pipe(back).pipe(front)
    })
  )
  yield* Effect.addFinalizer(() => Effect.sync(() => cut(sockets)))
  const served = yield* Served.make({
    backends: { main: [Address.format(Address.tcp("127.0.0.1", port))] },
    maxStreamQueries: 100
  })
  return { engine, url: served.url, cut: () => cut(sockets) }
}).pipe(Effect.provide(Logger.layer([])))

describe("a result that fails on its way", () => {
  it.live("is seen as a failure when the query fails", () =>
    Effect.gen(function* () {
      const { engine, url } = yield* start
      const told = { code: "execution_failed", message: /Division by zero/ }
      yield* Failures.seen({ url, fail: engine.release }, { query: "held 1000" }, told)
    })
  )

  it.effect("is seen as a failure when its time is over", () =>
    Effect.gen(function* () {
      const { url } = yield* start
      const told = { code: "timeout", message: /timeoutMs/ }
      const fail = TestClock.adjust("2 seconds")
      yield* Failures.seen({ url, fail }, { query: "hang 1000", timeoutMs: 1500 }, told)
    })
  )

  it.live("is seen as a failure when its back-end is killed", () =>
    Effect.gen(function* () {
      const { cut, url } = yield* start
      const told = { code: "backend_lost", message: /127\.0\.0\.1/ }
      yield* Failures.seen({ url, fail: Effect.sync(cut) }, { query: "hang 1000" }, told)
    })
  )
})
