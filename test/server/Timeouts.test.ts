import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as Message from "../../src/protocol/Message.ts"
import { accept, chunk, end } from "../../src/testing/StepEngine.ts"
import * as Peer from "../support/Peer.ts"
import * as Served from "../support/Served.ts"

const quiet = { heartbeatInterval: "Infinity", idleTimeout: "Infinity" } as const

describe("queryTimeout", () => {
  it.effect("ends an accepted query with an error, and the connection goes on", () =>
    Effect.gen(function* () {
      const { peer, steps, writes, events } = yield* Served.open({ ...quiet, queryTimeout: 1000 })
      yield* peer.request("one")
      yield* TestClock.adjust(500)
      yield* steps.step(accept, chunk("a"))
      assert.deepStrictEqual(yield* peer.take(2), ["A yes", "I a"])
      yield* TestClock.adjust(499)
      assert.lengthOf(writes, 1)
      yield* TestClock.adjust(1)
      assert.match(yield* peer.next, /^E \{"code":"timeout",.*queryTimeout/)
      assert.deepStrictEqual(steps.log, ["init one", "ended"])
      yield* Served.settle
      assert.deepInclude(events.at(-1), { _tag: "Failed" })
      const failed = events.at(-1)
      assert.strictEqual(failed?._tag === "Failed" ? failed.query.reason : "", "error")
      // It may have crossed a cancel, as any response may.
      yield* peer.cancel
      yield* peer.request("two")
      yield* TestClock.adjust(999)
      yield* steps.step(accept, end)
      assert.deepStrictEqual(yield* peer.take(2), ["A yes", "F"])
    })
  )

  it.effect("rejects a request of which nothing has been run yet", () =>
    Effect.gen(function* () {
      const { peer, steps, tags } = yield* Served.open({ ...quiet, queryTimeout: 1000 })
      yield* peer.request("one")
      yield* TestClock.adjust(1000)
      assert.match(yield* peer.next, /^J \{"code":"timeout"/)
      assert.deepStrictEqual(steps.log, ["init one", "ended"])
      yield* Served.settle
      assert.strictEqual(tags(), "Opened Request Rejected")
    })
  )

  it.effect("does not outlast the response", () =>
    Effect.gen(function* () {
      const { peer, steps, writes } = yield* Served.open({ ...quiet, queryTimeout: 1000 })
      yield* steps.step(accept, end)
      yield* peer.request("one")
      assert.deepStrictEqual(yield* peer.take(2), ["A yes", "F"])
      yield* TestClock.adjust(5000)
      assert.lengthOf(writes, 1)
    })
  )

  it.effect("counts while the peer reads nothing, not even heartbeats", () =>
    Effect.gen(function* () {
      const served = yield* Served.open({
        heartbeatInterval: 100,
        capacity: 4,
        queryTimeout: 1000,
        writeTimeout: "Infinity"
      })
      yield* TestClock.adjust(100)
      yield* served.peer.request("one")
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(served.steps.log, ["init one", "ended"])
      assert.strictEqual(yield* served.peer.next, "H")
      assert.match(yield* served.peer.next, /^J \{"code":"timeout"/)
    })
  )

  it.effect("is answered when the query's finalizers have run", () =>
    Effect.gen(function* () {
      const { peer, steps, writes } = yield* Served.open({
        ...quiet,
        queryTimeout: 1000,
        finalizerMillis: 300
      })
      yield* steps.step(accept)
      yield* peer.request("one")
      yield* TestClock.adjust(1299)
      assert.lengthOf(writes, 1)
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* peer.next, "A yes")
      assert.match(yield* peer.next, /^E \{"code":"timeout"/)
    })
  )
})

describe("the timeout of an accepted query", () => {
  it.effect("counts from its request, where it is the shorter", () =>
    Effect.gen(function* () {
      const { peer, steps, writes } = yield* Served.open({ ...quiet, queryTimeout: 5000 })
      yield* peer.request("one")
      yield* TestClock.adjust(400)
      yield* steps.step({ ...accept, timeout: 1000 })
      assert.strictEqual(yield* peer.next, "A yes")
      yield* TestClock.adjust(599)
      assert.lengthOf(writes, 1)
      yield* TestClock.adjust(1)
      assert.match(yield* peer.next, /^E \{"code":"timeout"/)
      yield* steps.step(accept)
      yield* peer.request("two")
      yield* TestClock.adjust(4999)
      assert.strictEqual(yield* peer.next, "A yes")
      assert.lengthOf(writes, 3)
    })
  )

  it.effect("cannot exceed queryTimeout", () =>
    Effect.gen(function* () {
      const { peer, steps } = yield* Served.open({ ...quiet, queryTimeout: 1000 })
      yield* steps.step({ ...accept, timeout: 5000 })
      yield* peer.request("one")
      assert.strictEqual(yield* peer.next, "A yes")
      yield* TestClock.adjust(1000)
      assert.match(yield* peer.next, /^E \{"code":"timeout"/)
    })
  )

  it.effect("that is over by the time of the accept ends in an error: the query has been run", () =>
    Effect.gen(function* () {
      const { peer, steps } = yield* Served.open(quiet)
      yield* peer.request("one")
      yield* TestClock.adjust(2000)
      yield* steps.step({ ...accept, timeout: 1000 })
      assert.strictEqual(yield* peer.next, "A yes")
      assert.match(yield* peer.next, /^E \{"code":"timeout"/)
    })
  )
})

describe("writeTimeout", () => {
  it.effect("ends the connection of a peer that stops reading, and its query", () =>
    Effect.gen(function* () {
      const { peer, steps, ended, closed, tags } = yield* Served.open({
        ...quiet,
        capacity: 10,
        writeTimeout: 1000
      })
      yield* steps.step(accept, chunk("aaaaaaaaaa"))
      yield* peer.request("one")
      yield* TestClock.adjust(999)
      assert.deepStrictEqual(steps.log, ["init one"])
      yield* TestClock.adjust(1)
      const { reason } = yield* ended
      assert.strictEqual(reason, "write")
      assert.include(closed().detail, "(writeTimeout)")
      assert.deepStrictEqual(steps.log, ["init one", "ended"])
      assert.strictEqual(tags(), "Opened Request Accepted Aborted Closed")
    })
  )

  it.effect("leaves a peer alone that reads slowly", () =>
    Effect.gen(function* () {
      const { peer, steps } = yield* Served.open({ ...quiet, capacity: 10, writeTimeout: 1000 })
      yield* peer.request("one")
      yield* steps.step(accept)
      assert.strictEqual(yield* peer.next, "A yes")
      for (let i = 0; i < 10; i++) {
        yield* steps.step(chunk("aaaaaaaaaa"))
        yield* TestClock.adjust(900)
        assert.strictEqual(yield* peer.next, "I aaaaaaaaaa")
      }
      yield* steps.step(end)
      assert.strictEqual(yield* peer.next, "F")
    })
  )

  it.effect("leaves a peer alone that takes a single write byte by byte", () =>
    Effect.gen(function* () {
      let unsent = 100
      const { peer, steps, ended } = yield* Served.open({
        ...quiet,
        capacity: 10,
        writeTimeout: 1000,
        unsent: () => unsent
      })
      yield* steps.step(accept, chunk("aaaaaaaaaa"))
      yield* peer.request("one")
      for (let i = 0; i < 20; i++) {
        yield* TestClock.adjust(900)
        unsent--
      }
      assert.deepStrictEqual(steps.log, ["init one"])
      yield* TestClock.adjust(2000)
      assert.strictEqual((yield* ended).reason, "write")
    })
  )

  it.effect("leaves a reader of 10 kB/s alone by default, of which the system tells every 2 MiB", () =>
    Effect.gen(function* () {
      let unsent = 64 * 1024 * 1024
      const { peer, steps, ended } = yield* Served.open({
        heartbeatInterval: "Infinity",
        queryTimeout: "Infinity",
        capacity: 10,
        unsent: () => unsent
      })
      yield* steps.step(accept, chunk("aaaaaaaaaa"))
      yield* peer.request("one")
      const windowSize = 2 * 1024 * 1024
      for (let i = 0; i < 6; i++) {
        yield* TestClock.adjust(Math.ceil(windowSize / 10))
        unsent -= windowSize
      }
      assert.deepStrictEqual(steps.log, ["init one"])
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual((yield* ended).reason, "write")
    })
  )

  it.effect("also limits the acknowledgement of a cancel", () =>
    Effect.gen(function* () {
      const { peer, steps, ended, tags } = yield* Served.open({ ...quiet, capacity: 10, writeTimeout: 1000 })
      yield* steps.step(accept, chunk("aaaaaaaaaa"))
      yield* peer.request("one")
      yield* Served.settle
      yield* peer.cancel
      yield* TestClock.adjust(1000)
      assert.strictEqual((yield* ended).reason, "write")
      assert.strictEqual(tags(), "Opened Request Accepted Aborted Closed")
    })
  )
})

describe("requestTimeout", () => {
  const request = Message.encode(Peer.request("slowly"))

  it.effect("ends a connection on which a request dribbles in", () =>
    Effect.gen(function* () {
      const { peer, ended, closed } = yield* Served.open({ ...quiet, requestTimeout: 1000 })
      for (const byte of request.subarray(0, 9)) {
        yield* peer.sendBytes(Uint8Array.of(byte))
        yield* TestClock.adjust(111)
      }
      assert.throws(closed)
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* ended).reason, "read")
      assert.include(closed().detail, "requestTimeout")
    })
  )

  it.effect("leaves a request alone that is complete in time, and what follows it", () =>
    Effect.gen(function* () {
      const { peer, steps } = yield* Served.open({ ...quiet, requestTimeout: 1000 })
      yield* peer.sendBytes(request.subarray(0, 3))
      yield* TestClock.adjust(999)
      yield* peer.sendBytes(request.subarray(3))
      yield* TestClock.adjust(5000)
      yield* steps.step(accept, end)
      assert.deepStrictEqual(yield* peer.take(2), ["A yes", "F"])
    })
  )

  it.effect("counts for each frame anew", () =>
    Effect.gen(function* () {
      const { peer, steps, closed } = yield* Served.open({ ...quiet, requestTimeout: 1000 })
      yield* steps.step({ _tag: "reject", payload: "no" }, { _tag: "reject", payload: "no" })
      yield* peer.sendBytes(request.subarray(0, 3))
      yield* TestClock.adjust(900)
      yield* peer.sendBytes(Uint8Array.from([...request.subarray(3), ...request.subarray(0, 3)]))
      assert.strictEqual(yield* peer.next, "J no")
      yield* TestClock.adjust(999)
      assert.throws(closed)
      yield* peer.sendBytes(request.subarray(3))
      assert.strictEqual(yield* peer.next, "J no")
    })
  )
})

describe("idleTimeout", () => {
  it.effect("closes a connection on which no request comes", () =>
    Effect.gen(function* () {
      const { peer, ended, closed } = yield* Served.open({ idleTimeout: 1000 })
      yield* TestClock.adjust(999)
      assert.throws(closed)
      yield* TestClock.adjust(1)
      assert.match(yield* peer.next, /^J .*No request came \(idleTimeout\).*"closing":true/)
      assert.strictEqual(yield* peer.next, "closed")
      assert.strictEqual((yield* ended).reason, "read")
      assert.include(closed().detail, "idleTimeout")
    })
  )

  it.effect("does not count during a query, and starts again after each response", () =>
    Effect.gen(function* () {
      const { peer, steps, closed, ended } = yield* Served.open({
        idleTimeout: 1000,
        heartbeatInterval: "Infinity"
      })
      for (const last of [end, { _tag: "fail", payload: "bad" }] as const) {
        yield* TestClock.adjust(900)
        yield* peer.request("one")
        yield* TestClock.adjust(5000)
        yield* steps.step(accept)
        yield* TestClock.adjust(5000)
        yield* steps.step(last)
        yield* peer.take(2)
      }
      yield* TestClock.adjust(900)
      yield* peer.request("cancelled")
      yield* TestClock.adjust(5000)
      yield* peer.cancel
      assert.strictEqual(yield* peer.next, "K")
      yield* TestClock.adjust(999)
      assert.throws(closed)
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* ended).reason, "read")
    })
  )
})

describe("firstRequestTimeout", () => {
  const limits = { ...quiet, firstRequestTimeout: 1000 } as const

  it.effect("closes a connection whose first request does not come", () =>
    Effect.gen(function* () {
      const { peer, ended, closed } = yield* Served.open(limits)
      yield* TestClock.adjust(999)
      assert.throws(closed)
      yield* TestClock.adjust(1)
      assert.match(yield* peer.next, /^J .*No request came \(firstRequestTimeout\).*"closing":true/)
      assert.strictEqual(yield* peer.next, "closed")
      assert.strictEqual((yield* ended).reason, "read")
      assert.strictEqual(closed().detail, "No request came (firstRequestTimeout)")
    })
  )

  it.effect("counts until the first request is there whole", () =>
    Effect.gen(function* () {
      const { peer, ended, closed } = yield* Served.open(limits)
      const bytes = Message.encode(Peer.request("one"))
      yield* TestClock.adjust(900)
      yield* peer.sendBytes(bytes.subarray(0, -1))
      yield* TestClock.adjust(99)
      assert.throws(closed)
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* ended).reason, "read")
      assert.include(closed().detail, "firstRequestTimeout")
    })
  )

  it.effect("is over with the first request: idleTimeout applies afterwards", () =>
    Effect.gen(function* () {
      const served = yield* Served.open({ ...limits, idleTimeout: 5000 })
      const { peer, steps, ended, closed } = served
      yield* TestClock.adjust(999)
      yield* peer.request("one")
      yield* TestClock.adjust(3000)
      yield* steps.step(accept, end)
      assert.deepStrictEqual(yield* peer.take(2), ["A yes", "F"])
      yield* TestClock.adjust(4999)
      assert.throws(closed)
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* ended).reason, "read")
      assert.include(closed().detail, "idleTimeout")
    })
  )

  it.effect("leaves a shorter idleTimeout alone, which names itself then", () =>
    Effect.gen(function* () {
      for (const firstRequestTimeout of [5000, "Infinity"] as const) {
        const served = yield* Served.open({ ...quiet, firstRequestTimeout, idleTimeout: 1000 })
        yield* TestClock.adjust(1000)
        assert.strictEqual((yield* served.ended).reason, "read")
        assert.include(served.closed().detail, "idleTimeout")
      }
    })
  )

  it.effect("may be off", () =>
    Effect.gen(function* () {
      const { peer, steps } = yield* Served.open({ ...quiet, firstRequestTimeout: "Infinity" })
      yield* TestClock.adjust("10 days")
      yield* steps.step(accept, end)
      yield* peer.request("one")
      assert.deepStrictEqual(yield* peer.take(2), ["A yes", "F"])
    })
  )
})
