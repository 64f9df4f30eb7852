import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as TestClock from "effect/testing/TestClock"
import * as Timers from "../../src/loop/Timers.ts"
import { Heartbeat } from "../../src/server/Heartbeat.ts"
import { accept, chunk, end } from "../../src/testing/StepEngine.ts"
import * as Served from "../support/Served.ts"

const heartbeatInterval = 5000

/** A heartbeat whose writes have their turn when the test says so. */
const waiting = Effect.gen(function* () {
  const timers = yield* Timers.make
  const taken: Array<number> = []
  let turns: Array<() => void> = []
  let lastWriteAt = timers.now()
  const wrote = () => {
    lastWriteAt = timers.now()
  }
  const heartbeat = new Heartbeat(
    {
      submit: (submission) => {
        turns.push(() => {
          taken.push(submission.take(timers.now()).length)
          if (taken.at(-1) === 1) wrote()
          submission.ended(Exit.void)
        })
      },
      withdraw: () => {},
      isWriting: () => false,
      lastWriteAt: () => lastWriteAt
    },
    timers,
    heartbeatInterval
  )
  yield* Effect.forkScoped(heartbeat.run, { startImmediately: true })
  const turn = () => {
    const due = turns
    turns = []
    for (const each of due) each()
  }
  return { heartbeat, taken, turn, wrote }
})

describe("a heartbeat", () => {
  it.effect("is written after every interval on an idle connection", () =>
    Effect.gen(function* () {
      const { peer, writes } = yield* Served.open({ heartbeatInterval })
      yield* TestClock.adjust(4999)
      assert.lengthOf(writes, 0)
      for (let i = 1; i <= 4; i++) {
        yield* TestClock.adjust(1)
        assert.strictEqual(yield* peer.next, "H")
        yield* TestClock.adjust(4999)
        assert.lengthOf(writes, i)
      }
    })
  )

  it.effect("is written during a silent query, before and after its accept", () =>
    Effect.gen(function* () {
      const { peer, steps } = yield* Served.open({ heartbeatInterval })
      yield* peer.request("slow")
      yield* TestClock.adjust(5000)
      assert.strictEqual(yield* peer.next, "H")
      yield* steps.step(accept)
      assert.strictEqual(yield* peer.next, "A yes")
      yield* TestClock.adjust(10_000)
      assert.deepStrictEqual(yield* peer.take(2), ["H", "H"])
      yield* steps.step(chunk("a"), end)
      assert.match(yield* peer.next, /^[IF] a$/)
    })
  )

  it.effect("is due an interval after the last write, whatever it was", () =>
    Effect.gen(function* () {
      const { peer, steps, writes } = yield* Served.open({ heartbeatInterval })
      yield* peer.request("slow")
      yield* TestClock.adjust(3000)
      yield* steps.step(accept)
      assert.strictEqual(yield* peer.next, "A yes")
      yield* TestClock.adjust(4999)
      assert.lengthOf(writes, 1)
      yield* steps.step(chunk("a"))
      assert.strictEqual(yield* peer.next, "I a")
      yield* TestClock.adjust(4999)
      assert.lengthOf(writes, 2)
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* peer.next, "H")
    })
  )

  it.effect("is not written while a response streams", () =>
    Effect.gen(function* () {
      const { peer, steps, ended, closed } = yield* Served.open({ heartbeatInterval })
      yield* peer.request("one")
      yield* steps.step(accept)
      assert.strictEqual(yield* peer.next, "A yes")
      for (let i = 0; i < 20; i++) {
        yield* TestClock.adjust(4000)
        yield* steps.step(chunk("a"))
        assert.strictEqual(yield* peer.next, "I a")
      }
      yield* peer.close
      yield* ended
      assert.deepInclude(closed().heartbeat, { messages: 0, bytesTransferred: 0, reason: "wait" })
    })
  )

  it.effect("is not written while a write is blocked, but an interval after its end", () =>
    Effect.gen(function* () {
      const { peer, steps, writes } = yield* Served.open({
        heartbeatInterval,
        capacity: 4,
        writeTimeout: "1 hour"
      })
      yield* steps.step(accept)
      yield* peer.request("one")
      yield* TestClock.adjust(17_000)
      assert.lengthOf(writes, 1)
      assert.strictEqual(yield* peer.next, "A yes")
      yield* TestClock.adjust(4999)
      assert.lengthOf(writes, 1)
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* peer.next, "H")
    })
  )

  it.effect("is one at a time where the peer reads none", () =>
    Effect.gen(function* () {
      const { peer, writes } = yield* Served.open({ heartbeatInterval, capacity: 4, writeTimeout: "1 hour" })
      yield* TestClock.adjust(60_000)
      assert.deepStrictEqual(writes, [5])
      assert.strictEqual(yield* peer.next, "H")
      yield* TestClock.adjust(5000)
      assert.strictEqual(yield* peer.next, "H")
    })
  )

  for (const [other, at] of [
    [5050, 5050],
    [5051, 5000],
    [4950, 4950],
    [4949, 5000]
  ] as const) {
    it.effect(`that is due at 5000 comes at ${at} if another timer is due at ${other}`, () =>
      Effect.gen(function* () {
        const timers = yield* Timers.make
        const start = timers.now()
        yield* Effect.forkScoped(timers.sleepUntil(start + other), { startImmediately: true })
        const { peer, writes } = yield* Effect.provideService(
          Served.open({ heartbeatInterval }),
          Timers.Shared,
          timers
        )
        yield* TestClock.adjust(at - 1)
        assert.lengthOf(writes, 0)
        yield* TestClock.adjust(1)
        assert.strictEqual(yield* peer.next, "H")
      })
    )
  }

  it.effect("is not written if something else was while it waited for its turn", () =>
    Effect.gen(function* () {
      const { heartbeat, taken, turn, wrote } = yield* waiting
      yield* TestClock.adjust(6000)
      assert.strictEqual(heartbeat.statistics().reason, "write")
      wrote()
      turn()
      assert.deepStrictEqual(taken, [0])
      yield* Served.settle
      assert.deepInclude(heartbeat.statistics(), { messages: 0, bytesTransferred: 0, reason: "wait" })
      yield* TestClock.adjust(4999)
      turn()
      assert.deepStrictEqual(taken, [0])
      yield* TestClock.adjust(1)
      turn()
      assert.deepStrictEqual(taken, [0, 1])
    })
  )

  it.effect("never comes if the interval is infinite", () =>
    Effect.gen(function* () {
      const { writes, peer, ended } = yield* Served.open({
        heartbeatInterval: "Infinity",
        idleTimeout: "Infinity"
      })
      yield* TestClock.adjust("1000 days")
      assert.lengthOf(writes, 0)
      yield* peer.close
      assert.strictEqual((yield* ended).reason, "read")
    })
  )

  it.effect("counts itself and its waits", () =>
    Effect.gen(function* () {
      const { peer, ended, closed } = yield* Served.open({ heartbeatInterval })
      yield* TestClock.adjust(15_000)
      yield* peer.take(3)
      yield* peer.close
      yield* ended
      assert.deepStrictEqual(closed().heartbeat, {
        bytesTransferred: 15,
        messages: 3,
        waits: 4,
        reason: "wait"
      })
    })
  )

  it.effect("that is being written when the connection ends says so", () =>
    Effect.gen(function* () {
      const { ended, closed } = yield* Served.open({ heartbeatInterval, capacity: 4, writeTimeout: 1000 })
      yield* TestClock.adjust(6000)
      assert.strictEqual((yield* ended).reason, "write")
      assert.deepInclude(closed().heartbeat, { messages: 1, bytesTransferred: 5 })
    })
  )
})
