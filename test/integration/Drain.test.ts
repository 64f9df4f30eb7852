import { assert, describe, it } from "@effect/vitest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import * as LiveServer from "../support/LiveServer.ts"
import * as Poll from "../support/Poll.ts"
import * as Response from "../support/Response.ts"
import * as TinyEngine from "../support/TinyEngine.ts"

const start = Effect.fnUntraced(function* (drainTimeout: Duration.Input = "30 seconds") {
  const tiny = TinyEngine.make()
  const live = yield* LiveServer.start(tiny.engine, { drainTimeout })
  return { tiny, ...live }
})

const goodbye = /^J \{"code":"shutting_down",.*"closing":true\}$/

const code = (body: string) => QueryApi.decodeError(Buffer.from(body)).code

const stopping = (live: LiveServer.LiveServer) => Effect.forkChild(live.stop, { startImmediately: true })

/** Waits until nobody listens at the address any more. */
const closedToStrangers = Effect.fnUntraced(function* (live: LiveServer.LiveServer) {
  while ((yield* Effect.exit(Effect.scoped(LiveServer.dial(live.address))))._tag === "Success") {
    yield* Effect.sleep(5)
  }
})

describe("a server that stops", () => {
  it.live("closes idle connections at once and lets running responses finish", () =>
    Effect.gen(function* () {
      const live = yield* start()
      const idle = yield* LiveServer.connect(live.address)
      const running = yield* LiveServer.connect(live.address)
      yield* running.request("held")
      assert.deepStrictEqual(yield* running.take(2), ["A yes", "I begun"])
      yield* live.event("Opened", 1)

      const stop = yield* stopping(live)
      assert.match(yield* idle.next, goodbye)
      assert.strictEqual(yield* idle.next, "closed")
      yield* closedToStrangers(live)
      assert.strictEqual(stop.pollUnsafe(), undefined)

      yield* live.tiny.release
      assert.strictEqual((yield* Response.take(running)).end, "F")
      assert.match(yield* running.next, goodbye)
      assert.strictEqual(yield* running.next, "closed")
      yield* Fiber.join(stop)
      const reasons = live.events.flatMap((event) => (event._tag === "Closed" ? [event.control.reason] : []))
      assert.deepStrictEqual(reasons, ["drain", "drain"])
      assert.strictEqual(yield* live.server.connections, 0)
    })
  )

  it.live("rejects no response that has finished: a large one arrives whole", () =>
    Effect.gen(function* () {
      const live = yield* start()
      const peer = yield* LiveServer.connect(live.address)
      yield* peer.request("large 32")
      assert.strictEqual(yield* peer.next, "A yes")
      const stop = yield* stopping(live)
      const response = yield* Response.take(peer)
      assert.strictEqual(response.end, "F")
      assert.strictEqual(response.result.length, 32 * 1024 * 1024)
      assert.match(yield* peer.next, goodbye)
      assert.strictEqual(yield* peer.next, "closed")
      yield* Fiber.join(stop)
    })
  )

  it.live("ends what still runs after drainTimeout as shutting_down, and interrupts the engine", () =>
    Effect.gen(function* () {
      const live = yield* start("50 millis")
      const silent = yield* LiveServer.connect(live.address)
      yield* silent.request("silent")
      assert.strictEqual(yield* silent.next, "A yes")
      const stuck = yield* LiveServer.connect(live.address)
      yield* stuck.request("stuck")
      yield* live.event("Request", 1)

      const stop = yield* stopping(live)
      const error = yield* Response.take(silent)
      assert.strictEqual(error.end.slice(0, 1), "E")
      assert.strictEqual(code(error.end.slice(2)), "shutting_down")
      const rejected = yield* Response.take(stuck)
      assert.strictEqual(rejected.end.slice(0, 1), "J")
      assert.strictEqual(code(rejected.end.slice(2)), "shutting_down")
      assert.deepStrictEqual([yield* silent.next, yield* stuck.next], ["closed", "closed"])
      yield* Fiber.join(stop)
      assert.strictEqual(live.tiny.ended(), 2)
    })
  )

  it.live("waits no longer from stopNow on", () =>
    Effect.gen(function* () {
      const live = yield* start("1 hour")
      const silent = yield* LiveServer.connect(live.address)
      yield* silent.request("silent")
      assert.strictEqual(yield* silent.next, "A yes")
      const stop = yield* stopping(live)
      yield* closedToStrangers(live)
      assert.strictEqual(stop.pollUnsafe(), undefined)
      yield* live.server.stopNow
      yield* Fiber.join(stop)
      assert.strictEqual(live.tiny.ended(), 1)
      const { end } = yield* Response.take(silent)
      assert.match(end, /^closed$|shutting_down/)
    })
  )

  it.live("does not wait for a client that reads nothing after drainTimeout", () =>
    Effect.gen(function* () {
      const live = yield* start("50 millis")
      const { socket } = yield* LiveServer.dial(live.address, { paused: true })
      socket.write(Buffer.from([7, 0, 0, 0, 0x52, ...Buffer.from("endless")]))
      yield* live.event("Accepted")
      yield* live.stop
      assert.strictEqual(live.tiny.ended(), 1)
      yield* Poll.until("the connection's end is told", () =>
        live.events.some(({ _tag }) => _tag === "Closed")
      )
    })
  )
})
