/**
 * Addresses whose connections have gone: whether they can be reached is found out, once, and shows.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as TestClock from "effect/testing/TestClock"
import * as Backends from "../../src/gateway/Backends.ts"
import * as Address from "../../src/net/Address.ts"
import * as Transport from "../../src/net/Transport.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"
import * as LiveServer from "../support/LiveServer.ts"
import * as Poll from "../support/Poll.ts"
import { settle } from "../support/Served.ts"
import * as ServerPeer from "../support/ServerPeer.ts"
import * as RowEngine from "./RowEngine.ts"
import * as Served from "./Served.ts"

const goodbye = 'J {"code":"shutting_down","message":"bye","retryable":true,"closing":true}'
const notThere = new Socket.SocketError({
  reason: new Socket.SocketOpenError({ kind: "Unknown", cause: new Error("connection refused") })
})

const sent = { body: new TextEncoder().encode("a query"), receipt: false }

/** An address whose servers the test drives, or where there is none. */
const driven = Effect.gen(function* () {
  const scope = yield* Effect.scope
  const servers: Array<ServerPeer.ServerPeer> = []
  const place = { isThere: true, tried: 0 }
  const connect = Effect.suspend(() => {
    place.tried++
    if (!place.isThere) return Effect.fail(notThere)
    return Effect.gen(function* () {
      const [near, far] = yield* Scope.provide(MemorySocket.pair(), scope)
      servers.push(yield* Effect.orDie(Scope.provide(ServerPeer.make(far), scope)))
      return yield* Transport.fromSocket(near)
    })
  })
  const backends = yield* Backends.make({
    backends: { main: [{ name: "driven", connect }] },
    pool: {},
    ejectAfter: 3,
    probeInterval: Duration.seconds(10)
  })
  const instances = backends.get("main")?.instances ?? []
  const answered = (request: RegExp) =>
    Effect.gen(function* () {
      const server = servers.at(-1) as ServerPeer.ServerPeer
      assert.match(yield* server.next, request)
      yield* server.send("A yes", "F")
      yield* settle
    })
  const query = Effect.gen(function* () {
    const asking = yield* Effect.forkChild(Effect.scoped(backends.request(instances, sent)))
    yield* settle
    yield* answered(/^R a query/)
    yield* Fiber.join(asking)
  })
  return {
    place,
    query,
    answered,
    told: () => instances[0]?.told,
    /** The server ends the last connection. */
    leave: Effect.suspend(() => Effect.andThen(servers.at(-1)?.send(goodbye) ?? Effect.void, settle))
  }
})

const quiet = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provide(effect, Logger.layer([]))

describe("an address whose server ends the last connection", () => {
  it.effect("is asked until it goes out of use, if it refuses new ones", () =>
    quiet(
      Effect.gen(function* () {
        const { answered, leave, place, query, told } = yield* driven
        yield* query
        assert.strictEqual(told(), "up")
        place.isThere = false
        yield* leave
        assert.strictEqual(told(), "unknown")
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(told(), "unknown")
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(told(), "ejected")
        assert.strictEqual(place.tried, 4)
        place.isThere = true
        yield* TestClock.adjust("10 seconds")
        yield* answered(/^R .*SELECT 1/)
        assert.strictEqual(told(), "up")
      })
    )
  )

  it.effect("is asked once, and no more as long as nobody uses it", () =>
    quiet(
      Effect.gen(function* () {
        const { answered, leave, place, query, told } = yield* driven
        yield* query
        yield* leave
        yield* answered(/^R .*SELECT 1/)
        assert.strictEqual(told(), "up")
        yield* leave
        assert.strictEqual(told(), "unknown")
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual([told(), place.tried], ["unknown", 2])
        // A query again: its answer shows, and so is found out what becomes of its connection.
        yield* query
        assert.strictEqual(told(), "up")
        yield* leave
        yield* answered(/^R .*SELECT 1/)
        assert.deepStrictEqual([told(), place.tried], ["up", 4])
      })
    )
  )

  it.effect("is asked no more often than it is probed, however often its connections are lost", () =>
    quiet(
      Effect.gen(function* () {
        const { answered, leave, place, query } = yield* driven
        yield* query
        yield* leave
        yield* answered(/^R .*SELECT 1/)
        for (let i = 0; i < 5; i++) {
          yield* query
          yield* leave
        }
        // Six for queries, and one for the question after the first.
        assert.strictEqual(place.tried, 7)
      })
    )
  )
})

it.live("an address shows that its server has stopped, though nobody asks it any more", () =>
  quiet(
    Effect.gen(function* () {
      const served = yield* Served.make({ probeInterval: "50 millis" })
      assert.strictEqual((yield* Served.fetched(`${served.url}/v1/query`, Served.sql("rows 1"))).status, 200)
      yield* served.backend.stop
      const states = Effect.map(Served.fetched(`${served.url}/v1/targets`), ({ text }) => text)
      yield* Effect.repeat(states, { until: (text) => text.includes('"state":"ejected"') })
      const metrics = (yield* Served.fetched(`${served.url}/metrics`)).text
      const address = Address.format(served.backend.address)
      assert.match(metrics, new RegExp(`dataconn_gateway_backend_up{.*address="${address}".*} 0`))
    })
  )
)

it.live(
  "an address to which the gateway itself has closed the last connection is asked when somebody looks",
  () =>
    quiet(
      Effect.gen(function* () {
        const engine = RowEngine.make()
        const { address } = yield* LiveServer.start(engine.engine)
        const backends = yield* Backends.make({
          backends: { main: [address] },
          pool: { idleTimeout: "20 millis" },
          ejectAfter: 3,
          probeInterval: Duration.millis(10)
        })
        const instances = backends.get("main")?.instances ?? []
        const body = new TextEncoder().encode(JSON.stringify({ version: "v1", query: "rows 1" }))
        yield* Effect.scoped(backends.request(instances, { body, receipt: false }))
        yield* Poll.until("it is closed", () => instances[0]?.told === "unknown")
        assert.strictEqual(engine.begun(), 1)
        yield* backends.observed
        yield* Poll.until("it has been asked", () => engine.begun() === 2)
      })
    )
)
