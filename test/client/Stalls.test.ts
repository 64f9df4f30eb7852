/**
 * A pool whose responses are not read, with servers that the test drives.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { failure } from "../support/Failure.ts"
import { answer, bytes, type Opened, open, server, start } from "../support/PoolServers.ts"
import * as Served from "../support/Served.ts"

/** These servers send no heartbeats. */
const settings = {
  heartbeatTolerance: "Infinity",
  stallTimeout: "1 second",
  queueTimeout: "1 minute"
} as const

/** Has the next connection answer with a part of a result, which is not read until `read`. */
const unread = Effect.fnUntraced(function* (opened: Opened, name: string) {
  const scope = yield* Scope.make()
  let evicted = 0
  const request = opened.client.request(bytes(name), { onEvicted: () => evicted++ })
  const accepted = yield* Effect.forkChild(Scope.provide(request, scope), { startImmediately: true })
  const index = opened.servers.length
  yield* Served.settle
  assert.strictEqual(yield* server(opened, index).next, `R ${name}`)
  yield* server(opened, index).send("A yes", "I half")
  const { pull } = yield* Fiber.join(accepted)
  yield* Served.settle
  return { index, pull, evicted: () => evicted, close: Scope.close(scope, Exit.void) }
})

describe("a response that is not read", () => {
  it.effect(
    "keeps no request waiting for longer than stallTimeout, and its connection goes when it ends",
    () =>
      Effect.gen(function* () {
        const opened = yield* open({ ...settings, maxConnections: 1, maxStalled: 1 })
        const first = yield* unread(opened, "one")
        const second = yield* start(opened, "two")
        yield* TestClock.adjust("900 millis")
        assert.lengthOf(opened.servers, 1)
        yield* TestClock.adjust("200 millis")
        yield* answer(opened, 1, "two")
        assert.strictEqual(yield* Fiber.join(second), "of two")
        // A reader that goes on is not held up, and counts no more than before.
        assert.lengthOf(yield* first.pull, 1)
        const third = yield* start(opened, "three")
        yield* server(opened, 0).send("F whole")
        assert.lengthOf(yield* first.pull, 1)
        yield* Served.settle
        assert.strictEqual(opened.closed.length, 1)
        yield* answer(opened, 1, "three")
        assert.strictEqual(yield* Fiber.join(third), "of three")
        assert.lengthOf(opened.servers, 2)
      })
  )

  it.effect("counts if it is read in time, or if as many have stalled as may", () =>
    Effect.gen(function* () {
      const opened = yield* open({ ...settings, maxConnections: 2, maxStalled: 1 })
      const [one, two] = [yield* unread(opened, "one"), yield* unread(opened, "two")]
      const third = yield* start(opened, "three")
      yield* TestClock.adjust("900 millis")
      for (const { index, pull } of [one, two]) {
        assert.lengthOf(yield* pull, 1)
        const more = yield* Effect.forkChild(pull, { startImmediately: true })
        yield* server(opened, index).send("I more")
        assert.lengthOf(yield* Fiber.join(more), 1)
      }
      yield* TestClock.adjust("900 millis")
      assert.lengthOf(opened.servers, 2)
      yield* TestClock.adjust("1 second")
      yield* answer(opened, 2, "three")
      assert.strictEqual(yield* Fiber.join(third), "of three")
    })
  )

  it.effect("is told to end if it was not read for longest, once for each request that waits", () =>
    Effect.gen(function* () {
      const opened = yield* open({ ...settings, maxConnections: 1, maxStalled: 2 })
      const one = yield* unread(opened, "one")
      yield* TestClock.adjust("2 seconds")
      const two = yield* unread(opened, "two")
      yield* TestClock.adjust("2 seconds")
      const three = yield* unread(opened, "three")
      yield* TestClock.adjust("5 seconds")
      const evicted = () => [one, two, three].map(({ evicted }) => evicted())
      assert.deepStrictEqual(evicted(), [0, 0, 0])
      const fourth = yield* start(opened, "four")
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(evicted(), [1, 0, 0])
      const closing = yield* Effect.forkChild(one.close, { startImmediately: true })
      assert.strictEqual(yield* server(opened, one.index).next, "C")
      yield* server(opened, one.index).send("K")
      yield* Fiber.join(closing)
      yield* answer(opened, one.index, "four")
      assert.strictEqual(yield* Fiber.join(fourth), "of four")
      assert.lengthOf(opened.servers, 3)
    })
  )

  it.effect("keeps others waiting where a pool is told nothing else, until queueTimeout", () =>
    Effect.gen(function* () {
      const opened = yield* open({ ...settings, maxConnections: 1, stallTimeout: "Infinity", maxStalled: 5 })
      const first = yield* unread(opened, "one")
      const second = yield* start(opened, "two")
      yield* TestClock.adjust("59 seconds")
      assert.isUndefined(second.pollUnsafe())
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(failure(yield* Fiber.await(second)), "ClientError QueueTimeout")
      assert.strictEqual(first.evicted(), 0)
      assert.lengthOf(opened.servers, 1)
    })
  )
})
