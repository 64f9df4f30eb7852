import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Scheduler from "effect/Scheduler"
import * as TestClock from "effect/testing/TestClock"
import { accept, chunk, end } from "../../src/testing/StepEngine.ts"
import * as Peer from "../support/Peer.ts"
import * as Served from "../support/Served.ts"

/** The connection takes the next request, and answers it. */
const assertUsable = Effect.fnUntraced(function* ({ peer, steps }: Served.Served) {
  yield* peer.request("again")
  yield* steps.step(accept, end)
  assert.deepStrictEqual(yield* peer.take(2), ["A yes", "F"])
})

const assertViolated = Effect.fnUntraced(function* ({ peer, ended, closed }: Served.Served) {
  assert.strictEqual(yield* peer.next, "closed")
  assert.strictEqual((yield* ended).reason, "protocol")
  assert.include(closed().detail, "Cancel")
})

describe("a cancel", () => {
  it.effect("before the accept is answered by K alone", () =>
    Effect.gen(function* () {
      const served = yield* Served.open()
      const { peer, steps, tags } = served
      yield* peer.request("one")
      yield* peer.cancel
      assert.strictEqual(yield* peer.next, "K")
      assert.deepStrictEqual(steps.log, ["init one", "ended"])
      yield* Served.settle
      assert.strictEqual(tags(), "Opened Request Cancelled")
      yield* assertUsable(served)
    })
  )

  it.effect("of a request that came before the last response was taken is answered by K", () =>
    Effect.gen(function* () {
      const served = yield* Served.open({ capacity: 8 })
      const { peer, steps } = served
      yield* peer.request("one")
      yield* steps.step(accept, chunk("0123456789"), end)
      yield* Served.settle
      yield* peer.request("two")
      yield* Served.settle
      assert.deepStrictEqual(steps.log, ["init one", "ended"])
      assert.deepStrictEqual(yield* peer.take(2), ["A yes", "F 0123456789"])
      yield* Served.settle
      assert.deepStrictEqual(steps.log, ["init one", "ended", "init two"])
      yield* peer.cancel
      assert.strictEqual(yield* peer.next, "K")
      yield* assertUsable(served)
    })
  )

  it.effect("in the same segment as its request is answered by K alone", () =>
    Effect.gen(function* () {
      const served = yield* Served.open()
      yield* served.peer.send(Peer.request("one"), Peer.cancel)
      assert.strictEqual(yield* served.peer.next, "K")
      yield* assertUsable(served)
    })
  )

  it.effect("between chunks is answered by K", () =>
    Effect.gen(function* () {
      const served = yield* Served.open()
      const { peer, steps, events } = served
      yield* steps.step(accept, chunk("a"))
      yield* peer.request("one")
      assert.deepStrictEqual(yield* peer.take(2), ["A yes", "I a"])
      yield* peer.cancel
      assert.strictEqual(yield* peer.next, "K")
      assert.deepStrictEqual(steps.log, ["init one", "ended"])
      yield* Served.settle
      assert.deepInclude(events.at(-1), {
        _tag: "Cancelled",
        query: {
          reason: "cancel",
          runs: 1,
          messages: 2,
          bytesTransferred: 14,
          payloadBytesTransferred: 1,
          durationMillis: 0,
          queryId: undefined,
          rows: undefined
        }
      })
      yield* assertUsable(served)
    })
  )

  it.effect("of a query that is silent after its accept is answered by K", () =>
    Effect.gen(function* () {
      const served = yield* Served.open()
      yield* served.steps.step(accept)
      yield* served.peer.request("one")
      assert.strictEqual(yield* served.peer.next, "A yes")
      yield* served.peer.cancel
      assert.strictEqual(yield* served.peer.next, "K")
      yield* assertUsable(served)
    })
  )

  it.effect("is acknowledged only when the query's finalizers have run", () =>
    Effect.gen(function* () {
      const { peer, steps, writes, events } = yield* Served.open({ finalizerMillis: 100 })
      yield* steps.step(accept)
      yield* peer.request("one")
      assert.strictEqual(yield* peer.next, "A yes")
      yield* peer.cancel
      yield* TestClock.adjust(99)
      assert.lengthOf(writes, 1)
      assert.deepStrictEqual(steps.log, ["init one"])
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* peer.next, "K")
      assert.deepStrictEqual(steps.log, ["init one", "ended"])
      yield* Served.settle
      assert.strictEqual(events.at(-1)?._tag, "Cancelled")
    })
  )

  it.effect("during the finalizers of a query that has completed gets K, not F", () =>
    Effect.gen(function* () {
      const served = yield* Served.open({ finalizerMillis: 100 })
      yield* served.steps.step(accept, end)
      yield* served.peer.request("one")
      assert.strictEqual(yield* served.peer.next, "A yes")
      yield* served.peer.cancel
      yield* TestClock.adjust(100)
      assert.strictEqual(yield* served.peer.next, "K")
      yield* served.peer.cancel
      yield* assertViolated(served)
    })
  )

  const endings = [
    ["the final chunk", [accept, chunk("a"), end], ["A yes", "F a"]],
    ["a reject", [{ _tag: "reject", payload: "no" }], ["J no"]],
    ["an error", [accept, { _tag: "fail", payload: "bad" }], ["A yes", "E bad"]]
  ] as const
  for (const [name, script, response] of endings) {
    it.effect(`that crosses ${name} is ignored once`, () =>
      Effect.gen(function* () {
        const served = yield* Served.open()
        const { peer, steps } = served
        yield* steps.step(...script)
        yield* peer.request("one")
        assert.deepStrictEqual(yield* peer.take(response.length), [...response])
        yield* peer.cancel
        yield* assertUsable(served)
        yield* peer.cancel
        yield* Served.settle
        yield* peer.cancel
        yield* assertViolated(served)
      })
    )

    it.effect(`that comes behind a second request after ${name} is for that request`, () =>
      Effect.gen(function* () {
        const served = yield* Served.open()
        const { peer, steps } = served
        yield* steps.step(...script)
        yield* peer.request("one")
        assert.deepStrictEqual(yield* peer.take(response.length), [...response])
        yield* peer.send(Peer.cancel, Peer.request("two"), Peer.cancel)
        assert.strictEqual(yield* peer.next, "K")
        yield* assertUsable(served)
      })
    )
  }

  it.effect("on a fresh connection is a violation", () =>
    Effect.gen(function* () {
      const served = yield* Served.open()
      yield* served.peer.cancel
      yield* assertViolated(served)
    })
  )

  it.effect("after K is a violation", () =>
    Effect.gen(function* () {
      const served = yield* Served.open()
      yield* served.peer.request("one")
      yield* served.peer.cancel
      assert.strictEqual(yield* served.peer.next, "K")
      yield* served.peer.cancel
      yield* assertViolated(served)
    })
  )

  it.effect("while one is being acknowledged is a violation", () =>
    Effect.gen(function* () {
      const served = yield* Served.open({ finalizerMillis: 100 })
      yield* served.peer.request("one")
      yield* served.peer.cancel
      yield* served.peer.cancel
      assert.strictEqual(yield* served.peer.next, "closed")
      yield* TestClock.adjust(100)
      yield* assertViolated(served)
      assert.strictEqual(served.tags(), "Opened Request Aborted Closed")
    })
  )

  it.effect("beats a timeout whose error has not begun to be written", () =>
    Effect.gen(function* () {
      const served = yield* Served.open({ finalizerMillis: 100, queryTimeout: 1000 })
      yield* served.steps.step(accept)
      yield* served.peer.request("one")
      assert.strictEqual(yield* served.peer.next, "A yes")
      yield* TestClock.adjust(1000)
      yield* served.peer.cancel
      yield* TestClock.adjust(100)
      assert.strictEqual(yield* served.peer.next, "K")
      yield* served.peer.cancel
      yield* assertViolated(served)
    })
  )
})

describe("a cancel while a write is blocked", () => {
  it.effect("is answered behind the bytes of that write", () =>
    Effect.gen(function* () {
      const served = yield* Served.open({ capacity: 4 })
      const { peer, steps } = served
      yield* steps.step(accept, chunk("a"))
      yield* peer.request("one")
      yield* Served.settle
      yield* peer.cancel
      yield* Served.settle
      assert.deepStrictEqual(steps.log, ["init one", "ended"])
      assert.deepStrictEqual(yield* peer.take(3), ["A yes", "I a", "K"])
      yield* assertUsable(served)
    })
  )

  it.effect("of the final chunk is stale", () =>
    Effect.gen(function* () {
      const served = yield* Served.open({ capacity: 4 })
      const { peer, steps, tags } = served
      yield* steps.step(accept, chunk("a"), end)
      yield* peer.request("one")
      yield* Served.settle
      yield* peer.cancel
      yield* Served.settle
      assert.deepStrictEqual(yield* peer.take(2), ["A yes", "F a"])
      yield* Served.settle
      assert.strictEqual(tags(), "Opened Request Accepted Completed")
      yield* assertUsable(served)
    })
  )

  it.effect("of K is a violation, and the query's end is made known", () =>
    Effect.gen(function* () {
      const served = yield* Served.open({ capacity: 4 })
      yield* served.peer.request("one")
      yield* served.peer.cancel
      yield* Served.settle
      yield* served.peer.cancel
      yield* Served.settle
      assert.strictEqual((yield* served.ended).reason, "protocol")
      assert.strictEqual(served.tags(), "Opened Request Aborted Closed")
    })
  )

  it.effect("of a request that waits for the response before it is answered by K behind that", () =>
    Effect.gen(function* () {
      const served = yield* Served.open({ capacity: 4 })
      const { peer, steps, tags } = served
      yield* steps.step(accept, chunk("a"), end)
      yield* peer.request("one")
      yield* Served.settle
      yield* peer.request("two")
      yield* peer.cancel
      yield* Served.settle
      assert.deepStrictEqual(steps.log, ["init one", "ended"])
      assert.deepStrictEqual(yield* peer.take(3), ["A yes", "F a", "K"])
      yield* Served.settle
      assert.strictEqual(tags(), "Opened Request Accepted Completed Request Cancelled")
      yield* assertUsable(served)
    })
  )

  it.effect("of a request that is being made known interrupts its query before it begins", () =>
    Effect.gen(function* () {
      const served = yield* Served.open({
        publish: (event) => (event._tag === "Request" ? Effect.sleep(1000) : Effect.void)
      })
      const { peer, steps, tags } = served
      yield* peer.request("one")
      yield* Served.settle
      yield* peer.cancel
      yield* TestClock.adjust(1000)
      assert.strictEqual(yield* peer.next, "K")
      yield* Served.settle
      assert.deepStrictEqual(steps.log, [])
      assert.strictEqual(tags(), "Opened Request Cancelled")
    })
  )

  it.effect("whose query takes its time to end writes nothing meanwhile", () =>
    Effect.gen(function* () {
      const served = yield* Served.open({ capacity: 4, finalizerMillis: 1000, heartbeatInterval: "Infinity" })
      const { peer, steps, writes } = served
      yield* steps.step(accept)
      yield* peer.request("one")
      yield* Served.settle
      // More waits behind a write that is blocked, and the write ends while the query is being stopped.
      yield* steps.step(chunk("a"), chunk("b"))
      yield* Served.settle
      yield* peer.cancel
      yield* Served.settle
      assert.strictEqual(yield* peer.next, "A yes")
      yield* TestClock.adjust(999)
      assert.lengthOf(writes, 1)
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* peer.next, "K")
      yield* Served.settle
      assert.strictEqual(served.tags(), "Opened Request Accepted Cancelled")
    })
  )
})

describe("a cancel at any step of a response", () => {
  /** Every legal response to a request and a cancel. */
  const legal = [
    ["K"],
    ["A yes", "K"],
    ["A yes", "I a", "K"],
    ["A yes", "I a", "I b", "K"],
    ["A yes", "I a", "F b"],
    ["A yes", "I a", "I b", "F"]
  ]

  for (const capacity of [4, 1000]) {
    it.effect(`gets one terminal message, with room for ${capacity} bytes`, () =>
      Effect.gen(function* () {
        const seen = new Set<string>()
        for (let n = 0; n < 200; n += 2) {
          const served = yield* Served.open({ capacity })
          const { peer, steps } = served
          const terminal = (frame: string) => /^[JFEK]/.test(frame)
          yield* peer.request("one")
          // Between any two operations of the connection the cancel may come.
          yield* steps.step(accept, chunk("a"), chunk("b"), end)
          for (let i = 0; i < n; i++) yield* Effect.yieldNow
          yield* peer.cancel
          const response: Array<string> = []
          while (!response.some(terminal)) response.push(yield* peer.next)
          assert.include(
            legal.map((frames) => frames.join()),
            response.join()
          )
          seen.add(response.at(-1) ?? "")
          yield* Served.settle
          assert.match(served.tags(), /^Opened Request (Accepted )?(Completed|Cancelled)$/)
          yield* steps.drop
          yield* assertUsable(served)
        }
        assert.isTrue(seen.has("K"))
        // With so little room the final chunk cannot begin before the test has read what is in front of it.
        assert.strictEqual(seen.has("F") || seen.has("F b"), capacity > 4)
      }).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, 3))
    )
  }
})
