import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import { QueryEngine, QueryInitError } from "../../src/engine/QueryEngine.ts"
import * as QueryLimit from "../../src/server/QueryLimit.ts"
import { accept, chunk, end } from "../../src/testing/StepEngine.ts"
import * as Served from "../support/Served.ts"

/** A place that records when it is called. */
const makePlace = (calls: Array<string>, name: string): QueryLimit.Place => ({
  call: () => void calls.push(name)
})

describe("a limit", () => {
  const calls: Array<string> = []
  const places = (limit: QueryLimit.Limit, ...names: ReadonlyArray<string>) =>
    names.map((name) => {
      const place = makePlace(calls, name)
      return { entered: limit.enter(place), place }
    })

  it("lets queries run up to the limit, lets some wait, and has no place for the rest", () => {
    const limit = new QueryLimit.Limit({ maxConcurrentQueries: 2, maxQueuedQueries: 1 })
    const entered = places(limit, "a", "b", "c", "d").map((each) => each.entered)
    assert.deepStrictEqual(entered, ["running", "running", "waiting", "full"])
    const error = QueryApi.decodeError(limit.overloaded().payload)
    assert.strictEqual(error.code, "overloaded")
    assert.isTrue(error.retryable)
    assert.include(error.message, "maxConcurrentQueries, maxQueuedQueries")
  })

  it("calls those who wait in the order in which they came", () => {
    calls.length = 0
    const limit = new QueryLimit.Limit({ maxConcurrentQueries: 1, maxQueuedQueries: 3 })
    const all = places(limit, "a", "b", "c", "d")
    for (const { place } of all) limit.leave(place)
    assert.deepStrictEqual(calls, ["b", "c", "d"])
    assert.strictEqual(places(limit, "e")[0]?.entered, "running")
  })

  it("forgets whoever leaves the queue", () => {
    calls.length = 0
    const limit = new QueryLimit.Limit({ maxConcurrentQueries: 1, maxQueuedQueries: 1 })
    const [first, second] = places(limit, "a", "b")
    if (second !== undefined) limit.leave(second.place)
    assert.strictEqual(places(limit, "c")[0]?.entered, "waiting")
    if (first !== undefined) limit.leave(first.place)
    assert.deepStrictEqual(calls, ["c"])
  })
})

const one = { maxConcurrentQueries: 1, maxQueuedQueries: 1 }

/** Connections that share a limit. */
const connections = (options: QueryLimit.Options) => {
  const limit = new QueryLimit.Limit(options)
  return (served: Served.Options = {}) =>
    Effect.provideService(Served.open(served), QueryLimit.QueryLimit, limit)
}

describe("the queries of connections within a limit", () => {
  it.effect("keep their place until their scope has closed", () =>
    Effect.gen(function* () {
      const open = connections(one)
      const first = yield* open({ finalizerMillis: 100 })
      const second = yield* open()
      yield* first.steps.step(accept, chunk("a"), end)
      yield* first.peer.request("one")
      yield* second.peer.request("two")
      yield* Served.settle
      assert.deepStrictEqual(second.steps.log, [])
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(yield* first.peer.take(3), ["A yes", "I a", "F"])
      yield* Served.settle
      assert.deepStrictEqual(second.steps.log, ["init two"])
    })
  )

  it.effect("are rejected as overloaded beyond it, and their connections stay", () =>
    Effect.gen(function* () {
      const open = connections({ maxConcurrentQueries: 1, maxQueuedQueries: 0 })
      const first = yield* open()
      const second = yield* open()
      yield* first.peer.request("one")
      yield* second.peer.request("two")
      assert.match(yield* second.peer.next, /^J .*overloaded/)
      yield* first.peer.cancel
      assert.strictEqual(yield* first.peer.next, "K")
      yield* second.steps.step(accept, end)
      yield* second.peer.request("three")
      assert.deepStrictEqual(yield* second.peer.take(2), ["A yes", "F"])
    })
  )

  it.effect("leave the queue when they are cancelled", () =>
    Effect.gen(function* () {
      const open = connections(one)
      const [first, second, third] = [yield* open(), yield* open(), yield* open()]
      for (const { peer } of [first, second]) yield* peer.request("one")
      yield* second.peer.cancel
      assert.strictEqual(yield* second.peer.next, "K")
      yield* third.steps.step(accept, end)
      yield* third.peer.request("three")
      yield* Served.settle
      yield* first.peer.cancel
      assert.deepStrictEqual(yield* third.peer.take(2), ["A yes", "F"])
      assert.deepStrictEqual(second.steps.log, [])
    })
  )

  it.effect("give their place back if the engine cannot initialise them", () =>
    Effect.gen(function* () {
      const open = connections({ maxConcurrentQueries: 1, maxQueuedQueries: 0 })
      const failing = QueryEngine.of({ init: () => Effect.fail(new QueryInitError({ message: "no" })) })
      for (let i = 0; i < 3; i++) {
        const { closed, ended, peer } = yield* open({ engine: failing })
        yield* peer.request("one")
        yield* ended
        assert.strictEqual(closed().control.reason, "init")
      }
    })
  )

  it.effect("lose no place when one is cancelled as its turn comes", () =>
    Effect.gen(function* () {
      const open = connections(one)
      const [first, second] = [yield* open(), yield* open()]
      for (let i = 0; i < 20; i++) {
        yield* first.peer.request("one")
        yield* second.peer.request("two")
        for (const { peer } of [first, second]) yield* peer.cancel
        for (const { peer } of [first, second]) assert.strictEqual(yield* peer.next, "K")
      }
      yield* second.steps.step(accept, end)
      yield* second.peer.request("last")
      assert.deepStrictEqual(yield* second.peer.take(2), ["A yes", "F"])
    })
  )
})
