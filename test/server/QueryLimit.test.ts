import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as fc from "fast-check"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import { QueryEngine, QueryInitError } from "../../src/engine/QueryEngine.ts"
import * as RemoteAddress from "../../src/net/RemoteAddress.ts"
import * as QueryLimit from "../../src/server/QueryLimit.ts"
import { accept, chunk, end } from "../../src/testing/StepEngine.ts"
import * as Served from "../support/Served.ts"

/** A place that records when it is called. */
const makePlace = (calls: Array<string>, name: string): QueryLimit.Place => ({
  call: () => void calls.push(name),
  displaced: () => void calls.push(`${name} is displaced`),
  evicted: () => void calls.push(`${name} is evicted`)
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

  it("takes other limits: those that wait run if there is room, and those that run stay", () => {
    calls.length = 0
    const limit = new QueryLimit.Limit({ maxConcurrentQueries: 1, maxQueuedQueries: 3 })
    const all = places(limit, "a", "b", "c", "d")
    limit.reload({ maxConcurrentQueries: 3, maxQueuedQueries: 1 })
    assert.deepStrictEqual(calls, ["b", "c"])
    assert.strictEqual(places(limit, "e")[0]?.entered, "full")
    limit.reload({ maxConcurrentQueries: 1, maxQueuedQueries: 2 })
    for (const { place } of all.slice(0, 2)) limit.leave(place)
    assert.deepStrictEqual(calls, ["b", "c"])
    for (const { place } of all.slice(2, 3)) limit.leave(place)
    assert.deepStrictEqual(calls, ["b", "c", "d"])
  })

  it("counts an address from when that is limited", () => {
    const options = { maxConcurrentQueries: 9, maxQueuedQueries: 0 }
    const limit = new QueryLimit.Limit(options)
    const [first] = places(limit, "a")
    limit.reload({ ...options, maxQueriesPerAddress: 1 })
    const [second, third] = places(limit, "b", "c")
    assert.deepStrictEqual([second?.entered, third?.entered], ["running", "addressFull"])
    if (first !== undefined) limit.leave(first.place)
    assert.strictEqual(places(limit, "d")[0]?.entered, "addressFull")
    if (second !== undefined) limit.leave(second.place)
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

describe("a limit per address", () => {
  const options = { maxConcurrentQueries: 2, maxQueuedQueries: 2, maxQueriesPerAddress: 3 }

  it("leaves queries of connections within the process to whoever makes them", () => {
    const limit = new QueryLimit.Limit({ ...options, maxQueriesPerAddress: 1 })
    const internal = limit.of(RemoteAddress.internal)
    const places = ["a", "b", "c"].map((name) => makePlace([], name))
    assert.deepStrictEqual(
      places.map((place) => internal.enter(place)),
      ["running", "running", "waiting"]
    )
  })

  it("counts those that run and those that wait, and leaves other addresses alone", () => {
    const calls: Array<string> = []
    const limit = new QueryLimit.Limit(options)
    const [one, other] = [limit.of("one"), limit.of("other")]
    const places = ["a", "b", "c", "d"].map((name) => makePlace(calls, name))
    assert.deepStrictEqual(
      places.map((place) => one.enter(place)),
      ["running", "running", "waiting", "addressFull"]
    )
    const error = QueryApi.decodeError(one.overloaded("addressFull").payload)
    assert.strictEqual(error.code, "overloaded")
    assert.isTrue(error.retryable)
    assert.include(error.message, "3 queries of this address")
    assert.include(error.message, "maxQueriesPerAddress")
    assert.strictEqual(other.enter(makePlace(calls, "e")), "waiting")
    const [first, , waiting, turnedAway] = places as [
      QueryLimit.Place,
      QueryLimit.Place,
      QueryLimit.Place,
      QueryLimit.Place
    ]
    one.leave(waiting)
    assert.strictEqual(one.enter(turnedAway), "waiting")
    one.leave(first)
    assert.deepStrictEqual(calls, ["e"])
  })

  it("gives the place of the newest query of the greediest address to one of another", () => {
    const calls: Array<string> = []
    const limit = new QueryLimit.Limit({ maxConcurrentQueries: 1, maxQueuedQueries: 3 })
    const [greedy, modest] = [limit.of("greedy"), limit.of("modest")]
    const names = ["running", "first", "second", "third", "fourth"]
    const entered = names.map((name) => greedy.enter(makePlace(calls, name)))
    assert.deepStrictEqual(entered, ["running", "waiting", "waiting", "waiting", "full"])
    assert.strictEqual(modest.enter(makePlace(calls, "modest")), "waiting")
    assert.deepStrictEqual(calls, ["third is displaced"])
    const error = QueryApi.decodeError(greedy.overloaded("displaced").payload)
    assert.strictEqual(error.code, "overloaded")
    assert.include(error.message, "maxConcurrentQueries, maxQueuedQueries")
  })

  it("holds whatever comes and goes, and has every place back when all have left", () => {
    const operation = fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom("a", "b", "c") },
      { weight: 2, arbitrary: fc.nat() },
      { weight: 2, arbitrary: fc.constantFrom("pause", "resume") }
    )
    const limits = fc.record({
      maxConcurrentQueries: fc.integer({ min: 1, max: 4 }),
      maxQueuedQueries: fc.nat(6),
      maxQueriesPerAddress: fc.constantFrom(1, 2, 5, Number.POSITIVE_INFINITY)
    })
    fc.assert(
      fc.property(limits, fc.array(operation, { maxLength: 150 }), (options, all) => {
        const limit = new QueryLimit.Limit(options)
        const inside = new Map<QueryLimit.Place, { readonly address: string; state: string }>()
        const count = (wanted: string) =>
          [...inside.values()].filter(({ address, state }) => [address, state].includes(wanted)).length
        const enter = (address: string) => {
          const place: QueryLimit.Place = {
            call: () => inside.set(place, { address, state: "running" }),
            displaced: () => inside.delete(place),
            evicted: () => inside.set(place, { address, state: "evicted" })
          }
          const isAddressFull = count(address) >= options.maxQueriesPerAddress
          const state = limit.of(address).enter(place)
          assert.strictEqual(state === "addressFull", isAddressFull)
          if (state === "running" || state === "waiting") inside.set(place, { address, state })
        }
        const leave = (which: number) => {
          const place = [...inside.keys()][which % Math.max(1, inside.size)]
          if (place === undefined) return
          inside.delete(place)
          limit.leave(place)
          limit.leave(place)
        }
        const first = (wanted: string) => [...inside].find(([, { state }]) => state === wanted) ?? []
        const pause = () => {
          const [place, known] = first("running")
          if (place === undefined || known === undefined) return
          const withoutPlace = count("paused") + count("returning") + count("evicted")
          const mayPause = withoutPlace < options.maxQueuedQueries
          inside.set(place, { ...known, state: mayPause ? "paused" : "running" })
          const [stalled, evicted] = [count("paused"), count("evicted")]
          const isWanted = evicted < count("waiting") + count("returning")
          assert.strictEqual(limit.pause(place), mayPause)
          const mayEvict = !mayPause && isWanted && stalled > 0
          assert.strictEqual(count("evicted"), evicted + (mayEvict ? 1 : 0))
        }
        const resume = () => {
          const [place, known] = first("paused")
          if (place === undefined || known === undefined) return
          const state = limit.resume(place) === "running" ? "running" : "returning"
          inside.set(place, { ...known, state })
        }
        for (const each of all) {
          if (each === "pause") pause()
          else if (each === "resume") resume()
          else if (typeof each === "string") enter(each)
          else leave(each)
          assert.isAtMost(count("running"), options.maxConcurrentQueries)
          assert.isAtMost(count("waiting"), options.maxQueuedQueries)
          if (count("waiting") + count("returning") > 0)
            assert.strictEqual(count("running"), options.maxConcurrentQueries)
        }
        while (inside.size > 0) leave(0)
        for (let i = 0; i < options.maxConcurrentQueries; i++) enter(`new ${i}`)
        assert.strictEqual(count("running"), options.maxConcurrentQueries)
      })
    )
  })
})

describe("the queries of connections from several addresses", () => {
  const from =
    (limit: QueryLimit.Limit, address: string) =>
    (served: Served.Options = {}) =>
      Effect.provideService(Served.open(served), QueryLimit.QueryLimit, limit.of(address))

  it.effect("take turns by address, and one loses its place to that of an address with fewer", () =>
    Effect.gen(function* () {
      const limit = new QueryLimit.Limit({ maxConcurrentQueries: 1, maxQueuedQueries: 3 })
      const [greedy, modest] = [from(limit, "greedy"), from(limit, "modest")]
      const crowd = [yield* greedy(), yield* greedy(), yield* greedy(), yield* greedy()] as const
      for (const [i, { peer, steps }] of crowd.entries()) {
        yield* steps.step(accept, chunk(String(i)))
        yield* peer.request("crowd")
        yield* Served.settle
      }
      const other = yield* modest()
      yield* other.steps.step(accept, chunk("other"), end)
      yield* other.peer.request("other")
      // The newest of the crowd hears of it at once, and its connection stays.
      assert.match(yield* crowd[3].peer.next, /^J \{"code":"overloaded".*maxQueuedQueries/)
      yield* crowd[0].steps.step(end)
      assert.deepStrictEqual(yield* crowd[0].peer.take(3), ["A yes", "I 0", "F"])
      // One of the crowd came first, and the other address has its turn right after it.
      yield* crowd[1].steps.step(end)
      assert.deepStrictEqual(yield* crowd[1].peer.take(3), ["A yes", "I 1", "F"])
      assert.deepStrictEqual(yield* other.peer.take(2), ["A yes", "F other"])
      yield* crowd[2].steps.step(end)
      assert.deepStrictEqual(yield* crowd[2].peer.take(3), ["A yes", "I 2", "F"])
      yield* crowd[3].steps.step(end)
      yield* crowd[3].peer.request("again")
      assert.deepStrictEqual(yield* crowd[3].peer.take(2), ["A yes", "F 3"])
    })
  )
})

describe("queueTimeout", () => {
  const quiet = { heartbeatInterval: "Infinity", queueTimeout: 1000 } as const

  it.effect("rejects a query that has waited for so long, and names itself", () =>
    Effect.gen(function* () {
      const open = connections(one)
      const first = yield* open(quiet)
      const second = yield* open(quiet)
      yield* first.peer.request("one")
      yield* Served.settle
      yield* second.peer.request("two")
      yield* TestClock.adjust(999)
      assert.lengthOf(second.writes, 0)
      yield* TestClock.adjust(1)
      assert.match(yield* second.peer.next, /^J \{"code":"overloaded".*queueTimeout.*"retryable":true/)
      assert.deepStrictEqual(second.steps.log, [])
      // It has left the queue, and its connection goes on.
      yield* second.peer.request("two again")
      yield* second.steps.step(accept, end)
      yield* TestClock.adjust(500)
      yield* first.peer.cancel
      assert.strictEqual(yield* first.peer.next, "K")
      assert.deepStrictEqual(yield* second.peer.take(2), ["A yes", "F"])
    })
  )

  it.effect("does not count once the query runs, and may be off", () =>
    Effect.gen(function* () {
      const open = connections(one)
      const first = yield* open(quiet)
      const second = yield* open(quiet)
      yield* first.peer.request("one")
      yield* TestClock.adjust(5000)
      yield* first.steps.step(accept, end)
      assert.deepStrictEqual(yield* first.peer.take(2), ["A yes", "F"])
      yield* first.peer.request("three")
      const third = yield* open({ ...quiet, queueTimeout: "Infinity", queryTimeout: "Infinity" })
      yield* Served.settle
      yield* third.peer.request("four")
      yield* TestClock.adjust("50 minutes")
      assert.lengthOf(third.writes, 0)
      yield* first.peer.cancel
      yield* third.steps.step(accept, end)
      assert.deepStrictEqual(yield* third.peer.take(2), ["A yes", "F"])
      assert.lengthOf(second.writes, 0)
    })
  )
})

describe("a query that waits for its reader", () => {
  const slow = {
    heartbeatInterval: "Infinity",
    queryTimeout: "Infinity",
    writeTimeout: "Infinity",
    capacity: 4,
    prefetchSize: 1,
    stallTimeout: 1000,
    queueTimeout: 5000
  } as const

  /** A query whose client reads nothing, and another one that waits. */
  const stalled = Effect.fnUntraced(function* (options: QueryLimit.Options = one) {
    const open = connections(options)
    const first = yield* open(slow)
    const second = yield* open({ ...slow, capacity: 1000 })
    yield* first.steps.step(accept, chunk("aaaa"), chunk("bbbb"), chunk("cccc"), end)
    yield* first.peer.request("one")
    yield* Served.settle
    yield* second.peer.request("two")
    yield* TestClock.adjust(999)
    assert.deepStrictEqual(second.steps.log, [])
    return { first, second, open }
  })

  it.effect("gives its place up after stallTimeout, and takes it again when the client reads on", () =>
    Effect.gen(function* () {
      const { first, second } = yield* stalled()
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(second.steps.log, ["init two"])
      yield* second.steps.step(accept, end)
      assert.deepStrictEqual(yield* second.peer.take(2), ["A yes", "F"])
      assert.deepStrictEqual(yield* first.peer.take(5), ["A yes", "I aaaa", "I bbbb", "I cccc", "F"])
    })
  )

  it.effect("does not go on without a place, and is first when there is one", () =>
    Effect.gen(function* () {
      const { first, open, second } = yield* stalled({ maxConcurrentQueries: 1, maxQueuedQueries: 2 })
      const third = yield* open(slow)
      yield* third.peer.request("three")
      yield* TestClock.adjust(1)
      // It has begun, and its reader reads on: it waits for the second to end.
      const reading = yield* Effect.forkChild(first.peer.take(5), { startImmediately: true })
      yield* TestClock.adjust(1000)
      assert.isUndefined(reading.pollUnsafe())
      yield* second.steps.step(accept, end)
      yield* Served.settle
      assert.deepStrictEqual(yield* Fiber.join(reading), ["A yes", "I aaaa", "I bbbb", "I cccc", "F"])
      yield* Served.settle
      assert.deepStrictEqual(third.steps.log, ["init three"])
    })
  )

  it.effect("ends as overloaded if no place becomes free within queueTimeout", () =>
    Effect.gen(function* () {
      const { first } = yield* stalled()
      yield* TestClock.adjust(1)
      const reading = yield* Effect.forkChild(first.peer.rest, { startImmediately: true })
      yield* TestClock.adjust(5000)
      yield* first.peer.close
      const all = yield* Fiber.join(reading)
      assert.match(all.join(), /E \{"code":"overloaded".*stallTimeout, queueTimeout.*"retryable":true\}/)
      assert.include(first.steps.log, "ended")
    })
  )

  it.effect("keeps its place where no other may wait, and with stallTimeout off", () =>
    Effect.gen(function* () {
      const open = connections({ maxConcurrentQueries: 1, maxQueuedQueries: 0 })
      const off = connections(one)
      const [first, second] = [yield* open(slow), yield* off({ ...slow, stallTimeout: "Infinity" })]
      for (const { peer, steps } of [first, second]) {
        yield* steps.step(accept, chunk("aaaa"), chunk("bbbb"), end)
        yield* peer.request("one")
      }
      yield* TestClock.adjust("10 minutes")
      const [beyond, waiting] = [yield* open(slow), yield* off(slow)]
      for (const { peer } of [beyond, waiting]) yield* peer.request("two")
      assert.match(yield* beyond.peer.next, /overloaded/)
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(waiting.steps.log, [])
    })
  )

  it("is evicted for others when no more may be without a place: the oldest of the address that has most", () => {
    const calls: Array<string> = []
    const limit = new QueryLimit.Limit({ maxConcurrentQueries: 1, maxQueuedQueries: 3 })
    const enter = (address: string, name: string) => {
      const place = makePlace(calls, name)
      limit.of(address).enter(place)
      return place
    }
    const [first, second, third] = [enter("b", "b1"), enter("a", "a1"), enter("a", "a2")]
    for (const place of [first, second, third]) assert.isTrue(limit.pause(place))
    const fourth = enter("c", "c1")
    assert.isFalse(limit.pause(fourth))
    const waiting = enter("d", "d1")
    calls.length = 0
    assert.isFalse(limit.pause(fourth))
    assert.isFalse(limit.pause(fourth))
    assert.deepStrictEqual(calls, ["a1 is evicted"])
    limit.leave(second)
    assert.isTrue(limit.pause(fourth))
    assert.deepStrictEqual(calls, ["a1 is evicted", "d1"])
    limit.leave(waiting)
  })

  it.effect("ends as overloaded where others wait and no more may be without a place", () =>
    Effect.gen(function* () {
      const { first, open, second } = yield* stalled()
      yield* second.steps.step(accept, chunk("a".repeat(2000)), chunk("b"), end)
      yield* TestClock.adjust(1)
      const third = yield* open(slow)
      yield* third.steps.step(accept, end)
      yield* third.peer.request("three")
      assert.notInclude(first.steps.log, "ended")
      // The second one reads nothing either.
      yield* TestClock.adjust(2000)
      assert.include(first.steps.log, "ended")
      assert.deepStrictEqual(yield* third.peer.take(2), ["A yes", "F"])
      const answer = (yield* first.peer.take(4)).join()
      assert.match(answer, /E \{"code":"overloaded".*stallTimeout, maxQueuedQueries.*"retryable":true\}/)
    })
  )

  it.effect("loses no place when it is cancelled, wherever it stands", () =>
    Effect.gen(function* () {
      for (const isReading of [false, true]) {
        const { first, open, second } = yield* stalled()
        yield* TestClock.adjust(1)
        if (isReading) yield* first.peer.take(2)
        yield* first.peer.cancel
        yield* Effect.forkChild(first.peer.rest)
        yield* Served.settle
        assert.include(first.steps.log, "ended")
        yield* second.steps.step(accept, end)
        assert.deepStrictEqual(yield* second.peer.take(2), ["A yes", "F"])
        const third = yield* open({ ...slow, capacity: 1000 })
        yield* third.steps.step(accept, end)
        yield* third.peer.request("three")
        assert.deepStrictEqual(yield* third.peer.take(2), ["A yes", "F"])
      }
    })
  )
})
