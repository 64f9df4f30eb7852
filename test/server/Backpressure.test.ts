import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { QueryEngine } from "../../src/engine/QueryEngine.ts"
import { accept, chunk, end } from "../../src/testing/StepEngine.ts"
import * as Peer from "../support/Peer.ts"
import * as Served from "../support/Served.ts"

const text = (letters: string) => new TextEncoder().encode(letters)

/** Counts what is taken from it, and what it began and ended. */
const makeEndless = (size: number, perPull: number) => {
  const counts = { pulled: 0, started: 0, ended: 0 }
  const chunks = Stream.fromPull(
    Effect.succeed(
      Effect.sync(() => {
        counts.pulled += size * perPull
        return Array.from({ length: perPull }, () => new Uint8Array(size)) as [Uint8Array]
      })
    )
  )
  const engine = QueryEngine.of({
    init: () =>
      Effect.gen(function* () {
        counts.started++
        yield* Effect.addFinalizer(() => Effect.sync(() => counts.ended++))
        return { payload: text("yes"), chunks }
      })
  })
  return { counts, engine }
}

describe("an endless result", () => {
  const limits = { prefetchSize: 1000, batchSize: 2000, chunkSize: 100, capacity: 500 }

  for (const [size, perPull] of [
    [100, 1],
    [10, 10],
    [350, 2]
  ] as const) {
    it.effect(
      `in chunks of ${size} bytes, ${perPull} at a time, is taken a bounded way ahead of the peer`,
      () =>
        Effect.gen(function* () {
          const { counts, engine } = makeEndless(size, perPull)
          const { peer } = yield* Served.open({ ...limits, engine })
          yield* peer.request("one")
          yield* Served.settle
          const bound = limits.prefetchSize + limits.batchSize + limits.capacity + 2 * size * perPull
          assert.isAtMost(counts.pulled, bound)
          const ahead = counts.pulled
          yield* Served.settle
          assert.strictEqual(counts.pulled, ahead)
          let read = 0
          for (let i = 0; i < 200; i++) {
            const frame = yield* peer.next
            if (frame.startsWith("I")) read += frame.length - 2
            assert.isAtMost(counts.pulled - read, bound)
          }
          assert.isAbove(counts.pulled, ahead)
        })
    )
  }

  it.effect("is cancelled while nobody reads", () =>
    Effect.gen(function* () {
      const { counts, engine } = makeEndless(100, 1)
      const { peer, writes } = yield* Served.open({ ...limits, engine })
      yield* peer.request("one")
      yield* Served.settle
      yield* peer.cancel
      yield* Served.settle
      assert.deepInclude(counts, { started: 1, ended: 1 })
      const before = writes.length
      let last = ""
      while (last !== "K") last = yield* peer.next
      assert.strictEqual(writes.length, before + 1)
    })
  )

  it.effect("leaves room for other fibers while the peer keeps up", () =>
    Effect.gen(function* () {
      const { engine } = makeEndless(1000, 1)
      const { peer, events } = yield* Served.open({ engine, capacity: Number.POSITIVE_INFINITY })
      // The socket takes everything at once, so the writer never waits for it.
      yield* peer.request("one")
      yield* Served.settle
      yield* peer.cancel
      let last = ""
      while (last !== "K") last = yield* peer.next
      yield* Served.settle
      assert.strictEqual(events.at(-1)?._tag, "Cancelled")
    })
  )
})

describe("chunks under pressure", () => {
  it.effect("are gathered in writes of about batchSize", () =>
    Effect.gen(function* () {
      const { peer, steps, writes } = yield* Served.open({
        capacity: 10,
        prefetchSize: 1000,
        batchSize: 40
      })
      yield* steps.step(accept)
      yield* peer.request("one")
      yield* Served.settle
      yield* steps.step(...Array.from({ length: 12 }, () => chunk("aaaaaaaaaa")))
      yield* Served.settle
      const frames = yield* peer.take(13)
      assert.deepStrictEqual(
        frames.slice(1),
        Array.from({ length: 12 }, () => "I aaaaaaaaaa")
      )
      assert.isAtMost(writes.length, 5)
      for (const size of writes) assert.isAtMost(size, 4 * 15)
      yield* steps.step(end)
      assert.strictEqual(yield* peer.next, "F")
    })
  )

  it.effect("are few to a write of a young connection, and more as it goes on, whatever the query", () =>
    Effect.gen(function* () {
      const KiB = 1024
      const { engine } = makeEndless(4 * KiB, 16)
      const { peer, writes } = yield* Served.open({ engine, batchSize: 128 * KiB, prefetchSize: 128 * KiB })
      let read = 0
      const readTo = (bytes: number) =>
        Effect.gen(function* () {
          while (read < bytes) read += (yield* peer.next).length
        })
      yield* peer.request("one")
      yield* readTo(2048 * KiB)
      yield* peer.cancel
      let last = ""
      while (last !== "K") last = yield* peer.next
      const grown = writes.length
      yield* peer.request("two")
      yield* readTo(2560 * KiB)
      let written = 0
      for (const [i, size] of writes.entries()) {
        assert.isAtMost(size, Math.max(64 * KiB, written / 8) + 5 * KiB, `write ${i} after ${written} bytes`)
        written += size
      }
      assert.isAtLeast(writes[grown] ?? 0, 128 * KiB)
      assert.isAtLeast(Math.max(...writes), 128 * KiB)
      assert.isAtMost(Math.max(...writes), 133 * KiB)
    })
  )

  it.effect("that are the last end the response without an empty message", () =>
    Effect.gen(function* () {
      const { peer, steps } = yield* Served.open({ capacity: 4 })
      yield* steps.step(accept)
      yield* peer.request("one")
      yield* Served.settle
      yield* steps.step(chunk("a"), chunk("b"), end)
      yield* Served.settle
      const frames = yield* peer.take(3)
      assert.deepStrictEqual(frames, ["A yes", "I a", "F b"])
    })
  )
})

describe("a client that pipelines and reads nothing", () => {
  it.effect("has one response under way and one request waiting, and then is cut off", () =>
    Effect.gen(function* () {
      const { counts, engine } = makeEndless(100, 1)
      let running = 0
      let most = 0
      const short = QueryEngine.of({
        init: (request) =>
          Effect.gen(function* () {
            running++
            most = Math.max(most, running)
            yield* Effect.addFinalizer(() => Effect.sync(() => running--))
            const accepted = yield* engine.init(request)
            return { ...accepted, chunks: Stream.make(text("a")) }
          })
      })
      const { peer, ended, writes } = yield* Served.open({ engine: short, capacity: 10 })
      yield* peer.send(Peer.request("one"))
      yield* Served.settle
      for (let i = 0; i < 9; i++) yield* peer.send(Peer.request("one"))
      assert.strictEqual((yield* ended).reason, "protocol")
      assert.strictEqual(most, 1)
      assert.strictEqual(counts.started, 1)
      assert.strictEqual(counts.ended, 1)
      assert.lengthOf(writes, 1)
    })
  )

  it.effect("and cancels each request costs no more", () =>
    Effect.gen(function* () {
      const { counts, engine } = makeEndless(100, 1)
      const { peer, ended, writes } = yield* Served.open({ engine, capacity: 10 })
      for (let i = 0; i < 10; i++) yield* peer.send(Peer.request("one"), Peer.cancel)
      assert.strictEqual((yield* ended).reason, "protocol")
      // The peer's end has room for two acknowledgements, and the third is being written.
      assert.isAtMost(counts.started, 3)
      assert.strictEqual(counts.ended, counts.started)
      assert.isAtMost(writes.length, 3)
    })
  )
})
