import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as fc from "fast-check"
import * as Message from "../../src/protocol/Message.ts"
import * as QueryLimit from "../../src/server/QueryLimit.ts"
import * as RequestQuota from "../../src/server/RequestQuota.ts"
import { accept, chunk, end } from "../../src/testing/StepEngine.ts"
import * as Peer from "../support/Peer.ts"
import * as Served from "../support/Served.ts"

const quiet = { heartbeatInterval: "Infinity" } as const

const text = "x".repeat(10_000)
const request = Message.encode(Peer.request(text))

/** Connections that share a quota and a limit of queries. */
const connections = (
  quota: RequestQuota.Quota,
  limit: QueryLimit.Options = { maxConcurrentQueries: 100, maxQueuedQueries: 100 }
) => {
  const queries = new QueryLimit.Limit(limit)
  return (options: Served.Options = {}) =>
    Served.open({ ...quiet, ...options }).pipe(
      Effect.provideService(RequestQuota.RequestQuota, quota),
      Effect.provideService(QueryLimit.QueryLimit, queries)
    )
}

/** Sends bytes in parts of this size, and lets the server read each. */
const dribble = Effect.fnUntraced(function* ({ peer }: Served.Served, bytes: Uint8Array, size: number) {
  for (let at = 0; at < bytes.length; at += size) {
    yield* peer.sendBytes(bytes.subarray(at, at + size))
    yield* Served.settle
  }
})

describe("requests that are not complete", () => {
  it.effect("hold no more than the quota over all connections: the one that exceeds it is closed", () =>
    Effect.gen(function* () {
      const quota = new RequestQuota.Quota(25_000)
      const open = connections(quota)
      const all = [yield* open(), yield* open(), yield* open()] as const
      for (const served of all) {
        yield* dribble(served, request.subarray(0, 9000), 1000)
        assert.isAtMost(quota.used, quota.limit)
      }
      const [first, second, third] = all
      assert.strictEqual((yield* third.ended).reason, "read")
      assert.match(third.closed().detail, /more than 25000 bytes \(maxUnfinishedBytes\)/)
      assert.strictEqual(yield* third.peer.next, "closed")
      // The others go on.
      for (const served of [first, second]) {
        yield* served.steps.step(accept, end)
        yield* served.peer.sendBytes(request.subarray(9000))
        assert.deepStrictEqual(yield* served.peer.take(2), ["A yes", "F"])
      }
      assert.strictEqual(quota.used, 0)
      yield* dribble(yield* open(), request.subarray(0, 9000), 1000)
      assert.isAbove(quota.used, 9000)
    })
  )

  it.effect("give everything back however they end", () =>
    Effect.gen(function* () {
      const quota = new RequestQuota.Quota(1_000_000)
      const open = connections(quota)
      const begin = Effect.fnUntraced(function* (options?: Served.Options) {
        const served = yield* open(options)
        yield* dribble(served, request.subarray(0, 5000), 1000)
        assert.isAtLeast(quota.used, 5000)
        return served
      })
      const closed = yield* begin()
      yield* closed.peer.close
      yield* closed.ended
      assert.strictEqual(quota.used, 0)

      const late = yield* begin({ requestTimeout: 1000 })
      yield* TestClock.adjust(1000)
      yield* late.ended
      assert.strictEqual(quota.used, 0)

      const drained = yield* begin()
      yield* drained.connection.drain
      yield* drained.ended
      assert.strictEqual(quota.used, 0)

      const interrupted = yield* begin()
      yield* Fiber.interrupt(interrupted.fiber)
      assert.strictEqual(quota.used, 0)

      // A frame that breaks the protocol, right behind one that does not.
      const broken = yield* begin()
      yield* broken.peer.sendBytes(Uint8Array.from([...request.subarray(5000), 1, 2, 3, 4, 5]))
      assert.strictEqual((yield* broken.ended).reason, "protocol")
      assert.strictEqual(quota.used, 0)
    })
  )

  it.effect("may be of any number of connections: the account is 0 when all have left", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 2000, max: 60_000 }),
          fc.array(fc.record({ who: fc.nat(5), size: fc.integer({ min: 1, max: 8000 }) }), { maxLength: 40 }),
          (limit, parts) =>
            Effect.runPromise(Effect.scoped(Effect.provide(everybody(limit, parts), TestClock.layer())))
        ),
        { numRuns: 30 }
      )
    )
  )
})

const everybody = Effect.fnUntraced(function* (
  limit: number,
  parts: ReadonlyArray<{ readonly who: number; readonly size: number }>
) {
  const quota = new RequestQuota.Quota(limit)
  const open = connections(quota)
  const all = yield* Effect.forEach(Array.from({ length: 6 }), () =>
    Effect.map(open(), (served) => ({ served, sent: 0 }))
  )
  for (const { size, who } of parts) {
    const own = all[who]
    if (own === undefined) continue
    const bytes = request.subarray(own.sent, own.sent + size)
    own.sent += bytes.length
    // One that has been closed takes nothing more.
    yield* Effect.ignore(own.served.peer.sendBytes(bytes))
    yield* Served.settle
    assert.isAtMost(quota.used, limit)
  }
  for (const { served } of all) {
    yield* Effect.ignore(served.peer.close)
    yield* served.ended
  }
  assert.strictEqual(quota.used, 0)
})

describe("requests that wait for their turn", () => {
  it.effect("count once, although their bytes counted while they arrived", () =>
    Effect.gen(function* () {
      const quota = new RequestQuota.Quota(15_000)
      const open = connections(quota, { maxConcurrentQueries: 1, maxQueuedQueries: 10 })
      const [first, second] = [yield* open(), yield* open()]
      yield* first.peer.request("one")
      yield* Served.settle
      yield* dribble(second, request, 1000)
      assert.strictEqual(quota.used, text.length)
      yield* first.peer.cancel
      yield* second.steps.step(accept, end)
      assert.deepStrictEqual(yield* second.peer.take(2), ["A yes", "F"])
      assert.strictEqual(quota.used, 0)
    })
  )

  it.effect("count until they run, and are rejected if they do not fit", () =>
    Effect.gen(function* () {
      const quota = new RequestQuota.Quota(15_000)
      const open = connections(quota, { maxConcurrentQueries: 1, maxQueuedQueries: 10 })
      const [first, second, third] = [yield* open(), yield* open(), yield* open()]
      yield* first.peer.request(text)
      yield* Served.settle
      assert.strictEqual(quota.used, 0)
      yield* second.peer.request(text)
      yield* Served.settle
      assert.strictEqual(quota.used, text.length)
      yield* third.peer.request(text)
      assert.match(yield* third.peer.next, /^J \{"code":"overloaded".*maxUnfinishedBytes/)
      assert.strictEqual(quota.used, text.length)
      yield* first.peer.cancel
      yield* second.steps.step(accept, end)
      assert.deepStrictEqual(yield* second.peer.take(2), ["A yes", "F"])
      assert.strictEqual(quota.used, 0)
    })
  )

  it.effect("give their memory back when they are cancelled", () =>
    Effect.gen(function* () {
      const quota = new RequestQuota.Quota(15_000)
      const open = connections(quota, { maxConcurrentQueries: 1, maxQueuedQueries: 10 })
      const [first, second] = [yield* open(), yield* open()]
      yield* first.peer.request("one")
      yield* Served.settle
      yield* second.peer.request(text)
      yield* Served.settle
      assert.strictEqual(quota.used, text.length)
      yield* second.peer.cancel
      assert.strictEqual(yield* second.peer.next, "K")
      assert.strictEqual(quota.used, 0)
    })
  )

  it.effect("count behind a response that the peer does not read", () =>
    Effect.gen(function* () {
      const quota = new RequestQuota.Quota(15_000)
      const open = connections(quota)
      const begin = Effect.fnUntraced(function* () {
        const served = yield* open({ capacity: 4, writeTimeout: "Infinity" })
        yield* served.steps.step(accept, chunk("long".repeat(100)), end)
        yield* served.peer.request("one")
        yield* Served.settle
        yield* served.peer.request(text)
        yield* Served.settle
        return served
      })
      const first = yield* begin()
      assert.strictEqual(quota.used, text.length)
      const second = yield* begin()
      assert.strictEqual((yield* second.ended).reason, "read")
      assert.match(second.closed().detail, /maxUnfinishedBytes/)
      assert.strictEqual(quota.used, text.length)
      yield* first.peer.close
      yield* Fiber.interrupt(first.fiber)
      assert.strictEqual(quota.used, 0)
    })
  )
})
