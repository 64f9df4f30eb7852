import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as TestClock from "effect/testing/TestClock"
import type * as FrameWriter from "../../src/framing/Writer.ts"
import * as Alarms from "../../src/loop/Timers.ts"
import * as Heartbeat from "../../src/server/Heartbeat.ts"
import { accept, chunk, end } from "../../src/testing/StepEngine.ts"
import * as Served from "../support/Served.ts"

const heartbeatInterval = 5000

/** The heartbeat of a connection that writes nothing else, and what it does by name and time. */
const beating = (name: string, log: Array<string>) =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const now = () => clock.currentTimeMillisUnsafe()
    let lastWriteAt = now()
    return yield* Heartbeat.make({
      intervalMillis: heartbeatInterval,
      writer: {
        submit: (submission) => {
          assert.lengthOf(submission.take(now()), 1)
          lastWriteAt = now()
          log.push(`${name} ${lastWriteAt}`)
          submission.ended(Exit.void)
        },
        isWriting: () => false,
        lastWriteAt: () => lastWriteAt
      },
      listener: {
        expired: (deadline) => void log.push(`${name} ${deadline} ${now()}`),
        writeFailed: () => assert.fail()
      }
    })
  })

/** Opens hearts that share their alarms, and records their beats. */
const together = Effect.map(Alarms.make, (alarms) => {
  const log: Array<string> = []
  return { log, open: (name: string) => Effect.provideService(beating(name, log), Alarms.Shared, alarms) }
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

  it.effect("comes with another that is due up to a hundredth of the interval sooner, and then with it", () =>
    Effect.gen(function* () {
      const { log, open } = yield* together
      yield* open("a")
      yield* TestClock.adjust(50)
      yield* open("b")
      yield* TestClock.adjust(1)
      yield* open("c")
      for (let i = 0; i < 200; i++) yield* TestClock.adjust(51)
      assert.deepStrictEqual(log, ["a 5000", "b 5000", "c 5051", "a 10000", "b 10000", "c 10051"])
    })
  )

  it.effect("that comes early brings no deadline with it", () =>
    Effect.gen(function* () {
      const { log, open } = yield* together
      yield* open("a")
      yield* TestClock.adjust(50)
      const b = yield* open("b")
      b.setDeadline("request", 5049)
      b.setDeadline("query", 5051)
      yield* TestClock.adjust(4950)
      assert.deepStrictEqual(log, ["a 5000", "b 5000"])
      yield* TestClock.adjust(49)
      yield* TestClock.adjust(2)
      assert.deepStrictEqual(log, ["a 5000", "b 5000", "b request 5049", "b query 5051"])
    })
  )

  it.effect("is not written if something else was while it waited for its turn", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      const waiting: Array<FrameWriter.Submission> = []
      const taken: Array<number> = []
      let lastWriteAt = 0
      const turn = () => {
        for (const submission of waiting.splice(0)) {
          taken.push(submission.take(clock.currentTimeMillisUnsafe()).length)
          if (taken.at(-1) === 1) lastWriteAt = clock.currentTimeMillisUnsafe()
          submission.ended(Exit.void)
        }
      }
      const heartbeat = yield* Heartbeat.make({
        intervalMillis: heartbeatInterval,
        writer: {
          submit: (submission) => waiting.push(submission),
          isWriting: () => false,
          lastWriteAt: () => lastWriteAt
        },
        listener: { expired: () => assert.fail(), writeFailed: () => assert.fail() }
      })
      yield* TestClock.adjust(6000)
      assert.strictEqual(heartbeat.statistics().reason, "write")
      lastWriteAt = 6000
      turn()
      assert.deepStrictEqual(taken, [0])
      assert.deepInclude(heartbeat.statistics(), { messages: 0, bytesTransferred: 0, reason: "wait" })
      yield* TestClock.adjust(5000)
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

  it("is due when nothing has been written for the interval", () => {
    const writer = (writing: boolean, lastWriteAt: number) => ({
      isWriting: () => writing,
      lastWriteAt: () => lastWriteAt
    })
    assert.strictEqual(Heartbeat.dueAt(700, 1000, writer(false, 500)), 1500)
    assert.strictEqual(Heartbeat.dueAt(700, 1000, writer(true, 500)), 1700)
    assert.strictEqual(
      Heartbeat.dueAt(700, Number.POSITIVE_INFINITY, writer(true, 500)),
      Number.POSITIVE_INFINITY
    )
  })
})
