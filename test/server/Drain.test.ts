import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Socket from "effect/socket/Socket"
import * as TestClock from "effect/testing/TestClock"
import * as FaultySocket from "../../src/testing/FaultySocket.ts"
import { accept, chunk, end } from "../../src/testing/StepEngine.ts"
import * as Peer from "../support/Peer.ts"
import * as Served from "../support/Served.ts"

const goodbye = /^J \{"code":"(shutting_down|overloaded)",.*"retryable":true,"closing":true\}$/

const assertClosed = Effect.fnUntraced(function* ({ peer, ended }: Served.Served) {
  assert.strictEqual(yield* peer.next, "closed")
  assert.strictEqual((yield* ended).reason, "drain")
})

/** Nobody has told the client yet that the connection closes: a goodbye does. */
const assertDrained = Effect.fnUntraced(function* (served: Served.Served) {
  assert.match(yield* served.peer.next, goodbye)
  yield* assertClosed(served)
})

describe("drain", () => {
  it.effect("closes an idle connection", () =>
    Effect.gen(function* () {
      const served = yield* Served.open()
      yield* served.connection.drain
      yield* assertDrained(served)
      assert.strictEqual(served.closed().detail, "Server is shutting down")
    })
  )

  it.effect("before the connection has begun closes it", () =>
    Effect.gen(function* () {
      const served = yield* Served.open({
        publish: (event) => (event._tag === "Opened" ? Effect.sleep(1000) : Effect.void)
      })
      yield* served.connection.drain
      yield* TestClock.adjust(1000)
      yield* assertDrained(served)
    })
  )

  it.effect("lets a response finish, however long it takes", () =>
    Effect.gen(function* () {
      const served = yield* Served.open()
      const { connection, peer, steps, tags } = served
      yield* steps.step(accept)
      yield* peer.request("one")
      assert.strictEqual(yield* peer.next, "A yes")
      yield* connection.drain
      yield* connection.drain
      yield* steps.step(chunk("a"))
      assert.strictEqual(yield* peer.next, "I a")
      yield* steps.step(end)
      assert.strictEqual(yield* peer.next, "F")
      yield* assertDrained(served)
      assert.strictEqual(tags(), "Opened Request Accepted Completed Closed")
    })
  )

  it.effect("tells of a response whose last write failed", () =>
    Effect.gen(function* () {
      // Open, read, the write of the accept, the read that waits for a cancel, and the write of the final chunk.
      const wrap = (socket: Socket.Socket) => FaultySocket.make(socket, { failAt: 5 }).socket
      const { connection, ended, events, peer, steps } = yield* Served.open({ wrap })
      yield* peer.request("one")
      yield* Served.settle
      yield* steps.step(accept)
      assert.strictEqual(yield* peer.next, "A yes")
      yield* connection.drain
      yield* steps.step(end)
      yield* ended
      const reasons = events.flatMap((event) => (event._tag === "Aborted" ? [event.query.reason] : []))
      assert.deepStrictEqual(reasons, ["fail"])
    })
  )

  it.effect("lets a request that is initialising have its response", () =>
    Effect.gen(function* () {
      const served = yield* Served.open()
      yield* served.peer.request("one")
      yield* Served.settle
      yield* served.connection.drain
      yield* served.steps.step(accept, end)
      assert.deepStrictEqual(yield* served.peer.take(2), ["A yes", "F"])
      yield* assertDrained(served)
    })
  )

  it.effect("closes behind the acknowledgement of a cancel", () =>
    Effect.gen(function* () {
      const served = yield* Served.open()
      yield* served.peer.request("one")
      yield* Served.settle
      yield* served.connection.drain
      yield* served.peer.cancel
      assert.strictEqual(yield* served.peer.next, "K")
      yield* assertDrained(served)
      assert.strictEqual(served.tags(), "Opened Request Cancelled Closed")
    })
  )

  it.effect("loses nothing of a response that the peer is slow to read", () =>
    Effect.gen(function* () {
      const served = yield* Served.open({ capacity: 4 })
      const { connection, peer, steps, tags } = served
      yield* steps.step(accept, chunk("a"), end)
      yield* peer.request("one")
      yield* Served.settle
      yield* connection.drain
      // Wakes the loop, which finds the connection closed while the last write is still blocked.
      yield* peer.cancel
      yield* TestClock.adjust(1000)
      assert.strictEqual(tags(), "Opened Request Accepted")
      assert.deepStrictEqual(yield* peer.take(2), ["A yes", "F a"])
      yield* assertDrained(served)
      assert.strictEqual(tags(), "Opened Request Accepted Completed Closed")
    })
  )

  it.effect("half-closes rather than drops, so that what is on its way arrives", () =>
    Effect.gen(function* () {
      const served = yield* Served.open()
      const { connection, peer, steps } = served
      yield* steps.step(accept, end)
      yield* peer.request("one")
      yield* Served.settle
      yield* connection.drain
      yield* served.ended
      assert.deepStrictEqual(yield* peer.take(2), ["A yes", "F"])
      yield* assertDrained(served)
    })
  )
})

describe("drainExpired", () => {
  it.effect("ends an accepted query with an error", () =>
    Effect.gen(function* () {
      const served = yield* Served.open()
      const { connection, peer, steps, tags } = served
      yield* steps.step(accept)
      yield* peer.request("one")
      assert.strictEqual(yield* peer.next, "A yes")
      yield* connection.drain
      yield* connection.drainExpired
      assert.match(yield* peer.next, /^E \{"code":"shutting_down",.*"retryable":true,"closing":true\}$/)
      yield* assertClosed(served)
      assert.deepStrictEqual(steps.log, ["init one", "ended"])
      assert.strictEqual(tags(), "Opened Request Accepted Failed Closed")
    })
  )

  it.effect("rejects a request that is initialising", () =>
    Effect.gen(function* () {
      const served = yield* Served.open()
      yield* served.peer.request("one")
      yield* Served.settle
      yield* served.connection.drain
      yield* served.connection.drainExpired
      assert.match(yield* served.peer.next, goodbye)
      yield* assertClosed(served)
      assert.deepStrictEqual(served.steps.log, ["init one", "ended"])
    })
  )

  it.effect("closes an idle connection, drained before or not", () =>
    Effect.gen(function* () {
      const served = yield* Served.open()
      yield* served.connection.drainExpired
      yield* assertDrained(served)
    })
  )

  it.effect("does nothing to a connection that has ended", () =>
    Effect.gen(function* () {
      const served = yield* Served.open()
      yield* served.peer.close
      yield* served.ended
      yield* served.connection.drain
      yield* served.connection.drainExpired
      assert.strictEqual(served.tags(), "Opened Closed")
    })
  )
})

const refusing = "overloaded" as const

describe("a connection beyond the limit", () => {
  it.effect("rejects its first request and closes", () =>
    Effect.gen(function* () {
      const served = yield* Served.open({ refusing })
      yield* served.peer.request("one")
      assert.match(yield* served.peer.next, /^J \{"code":"overloaded",.*"retryable":true,"closing":true\}$/)
      yield* assertClosed(served)
      assert.strictEqual(served.closed().detail, "Too many connections")
      assert.deepStrictEqual(served.steps.log, [])
      assert.strictEqual(served.tags(), "Opened Request Rejected Closed")
      assert.strictEqual(served.closed().control.rejected, 1)
    })
  )

  it.effect("tells of its reject even if the peer is slow to read it", () =>
    Effect.gen(function* () {
      const served = yield* Served.open({ refusing, capacity: 4 })
      yield* served.peer.request("one")
      yield* TestClock.adjust(1000)
      assert.match((yield* served.peer.rest).join(), /^J .*overloaded.*,closed$/)
      yield* served.ended
      assert.strictEqual(served.tags(), "Opened Request Rejected Closed")
    })
  )

  it.effect("does not take a cancel without a request", () =>
    Effect.gen(function* () {
      const { peer, ended } = yield* Served.open({ refusing })
      yield* peer.cancel
      assert.strictEqual(yield* peer.next, "closed")
      assert.strictEqual((yield* ended).reason, "protocol")
    })
  )

  it.effect("answers once where a cancel follows the request", () =>
    Effect.gen(function* () {
      const served = yield* Served.open({ refusing })
      yield* served.peer.send(Peer.request("one"), Peer.cancel)
      assert.match((yield* served.peer.rest).join(), /^(J .*|K,J .*"closing":true\}),closed$/)
    })
  )

  it.effect("acknowledges a cancel that comes before the reject has begun", () =>
    Effect.gen(function* () {
      const served = yield* Served.open({ refusing, capacity: 4, heartbeatInterval: 1000 })
      // A heartbeat that nobody reads is in front of the reject.
      yield* TestClock.adjust(1000)
      yield* served.peer.request("one")
      yield* served.peer.cancel
      yield* Served.settle
      assert.deepStrictEqual(yield* served.peer.take(2), ["H", "K"])
      yield* assertDrained(served)
      assert.strictEqual(served.tags(), "Opened Request Cancelled Closed")
      assert.deepInclude(served.closed().control, { rejected: 0, cancelled: 1 })
    })
  )

  it.effect("is closed by idleTimeout, and by drain", () =>
    Effect.gen(function* () {
      const idle = yield* Served.open({ refusing, idleTimeout: 1000 })
      yield* TestClock.adjust(1000)
      assert.strictEqual((yield* idle.ended).reason, "read")
      const drained = yield* Served.open({ refusing })
      yield* drained.connection.drain
      yield* assertDrained(drained)
    })
  )
})

describe("a request that crosses the close", () => {
  /** Sent when the server has decided to close, and before the client can know. */
  const crossing = Effect.fnUntraced(function* (
    options: Served.Options,
    decide: (served: Served.Served) => Effect.Effect<unknown>
  ) {
    const served = yield* Served.open(options)
    yield* Effect.all([decide(served), served.peer.request("late")])
    const [answer, ...rest] = yield* served.peer.rest
    assert.match(answer ?? "", goodbye)
    assert.deepStrictEqual(rest, ["closed"])
    yield* served.ended
    assert.deepStrictEqual(served.steps.log, [])
    assert.strictEqual(served.closed().control.accepted, 0)
  })

  it.effect("is answered by the goodbye of a server that drains, and never begun", () =>
    crossing({}, ({ connection }) => connection.drain)
  )
  it.effect("is answered by the goodbye of a connection that was idle for too long", () =>
    crossing({ idleTimeout: 1000 }, () => TestClock.adjust(1000))
  )
  it.effect("is answered by the goodbye of a connection whose first request did not come", () =>
    crossing({ firstRequestTimeout: 1000 }, () => TestClock.adjust(1000))
  )
  it.effect("is answered by the goodbye of a connection beyond the limit", () =>
    crossing({ refusing, idleTimeout: 1000 }, () => TestClock.adjust(1000))
  )
  it.effect("is answered behind the last response", () =>
    Effect.gen(function* () {
      const served = yield* Served.open()
      yield* served.steps.step(accept, end)
      yield* served.peer.request("one")
      yield* Served.settle
      yield* Effect.all([served.connection.drain, served.peer.request("late")])
      assert.deepStrictEqual(yield* served.peer.take(2), ["A yes", "F"])
      yield* assertDrained(served)
      assert.deepStrictEqual(served.steps.log, ["init one", "ended"])
    })
  )
})

describe("interruption", () => {
  it.effect("of an idle connection drops it", () =>
    Effect.gen(function* () {
      const served = yield* Served.open()
      yield* Fiber.interrupt(served.fiber)
      assert.strictEqual(yield* served.peer.next, "closed")
      assert.strictEqual(served.closed().control.reason, "drain")
    })
  )

  it.effect("ends the query, and waits for its finalizers", () =>
    Effect.gen(function* () {
      const served = yield* Served.open({ finalizerMillis: 100, heartbeatInterval: "Infinity" })
      yield* served.steps.step(accept)
      yield* served.peer.request("one")
      assert.strictEqual(yield* served.peer.next, "A yes")
      const interruption = yield* Effect.forkChild(Fiber.interrupt(served.fiber), { startImmediately: true })
      yield* TestClock.adjust(99)
      assert.isUndefined(interruption.pollUnsafe())
      yield* TestClock.adjust(1)
      yield* Fiber.join(interruption)
      assert.deepStrictEqual(served.steps.log, ["init one", "ended"])
      assert.strictEqual(yield* served.peer.next, "closed")
      assert.strictEqual(served.tags(), "Opened Request Accepted Aborted Closed")
    })
  )

  it.effect("while a query is being cancelled makes its end known", () =>
    Effect.gen(function* () {
      const served = yield* Served.open({ finalizerMillis: 100, heartbeatInterval: "Infinity" })
      yield* served.peer.request("one")
      yield* served.peer.cancel
      yield* Served.settle
      yield* Effect.forkChild(Fiber.interrupt(served.fiber), { startImmediately: true })
      yield* TestClock.adjust(100)
      assert.strictEqual(yield* served.peer.next, "closed")
      assert.strictEqual(served.tags(), "Opened Request Aborted Closed")
    })
  )

  it.effect("while writes are blocked and a request waits behind them ends all of it", () =>
    Effect.gen(function* () {
      const served = yield* Served.open({ capacity: 4 })
      yield* served.steps.step(accept, chunk("a"), end)
      yield* served.peer.request("one")
      yield* Served.settle
      yield* served.peer.request("two")
      yield* Served.settle
      yield* Fiber.interrupt(served.fiber)
      assert.strictEqual(served.tags(), "Opened Request Accepted Aborted Request Aborted Closed")
      assert.deepStrictEqual(served.steps.log, ["init one", "ended"])
    })
  )

  it.effect("while the last response is being written drops it", () =>
    Effect.gen(function* () {
      const served = yield* Served.open({ capacity: 4 })
      yield* served.steps.step(accept, chunk("a"), end)
      yield* served.peer.request("one")
      yield* Served.settle
      yield* served.connection.drain
      yield* Served.settle
      assert.isUndefined(served.fiber.pollUnsafe())
      yield* Fiber.interrupt(served.fiber)
      assert.strictEqual((yield* served.peer.rest).at(-1), "closed")
      assert.strictEqual(served.tags(), "Opened Request Accepted Aborted Closed")
    })
  )

  it.effect("while the socket is being opened tells of the end", () =>
    Effect.gen(function* () {
      const wrap = (socket: Socket.Socket): Socket.Socket => ({ ...socket, reader: Effect.never })
      const served = yield* Served.open({ wrap })
      yield* Fiber.interrupt(served.fiber)
      assert.strictEqual(served.tags(), "Opened Closed")
      assert.strictEqual(served.closed().control.reason, "drain")
    })
  )

  it.effect("while the opening is being made known still tells of the end", () =>
    Effect.gen(function* () {
      const served = yield* Served.open({
        publish: (event) => (event._tag === "Opened" ? Effect.never : Effect.void)
      })
      yield* Fiber.interrupt(served.fiber)
      assert.strictEqual(served.tags(), "Closed")
    })
  )

  for (const tag of ["Request", "Accepted"] as const) {
    it.effect(`while ${tag} is being made known still tells of the end`, () =>
      Effect.gen(function* () {
        const served = yield* Served.open({
          publish: (event) => (event._tag === tag ? Effect.never : Effect.void)
        })
        yield* served.steps.step(accept)
        yield* served.peer.request("one")
        yield* Served.settle
        yield* Fiber.interrupt(served.fiber)
        assert.strictEqual(
          served.tags(),
          tag === "Request" ? "Opened Aborted Closed" : "Opened Request Aborted Closed"
        )
        assert.deepStrictEqual(served.steps.log, tag === "Request" ? [] : ["init one", "ended"])
      })
    )
  }
})
