import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Stream from "effect/Stream"
import { QueryEngine } from "../../src/engine/QueryEngine.ts"
import * as Chunk from "../../src/net/Chunk.ts"
import * as Garbage from "../support/Garbage.ts"
import * as Served from "../support/Served.ts"

const text = (letters: string) => new TextEncoder().encode(letters)

/** An engine with one result, which records what it gets back. */
const recording = (chunks: ReadonlyArray<Uint8Array>, then: Stream.Stream<never> = Stream.empty) => {
  const released: Array<Uint8Array> = []
  const release = (chunk: Uint8Array) => void released.push(chunk)
  const engine = QueryEngine.of({
    init: () =>
      Effect.succeed({
        payload: text("yes"),
        chunks: Stream.concat(Stream.fromIterable(chunks.map((chunk) => Chunk.owned(chunk, release))), then)
      })
  })
  return { engine, released }
}

describe("the chunks of a response", () => {
  it.effect("are given back as they were emitted when the response has been sent", () =>
    Effect.gen(function* () {
      const chunks = [text("one"), text("a chunk of several messages"), text("three")]
      const { engine, released } = recording(chunks)
      const { peer } = yield* Served.open({ engine, chunkSize: 10, batchSize: 15 })
      yield* peer.request("all")
      const frames = yield* peer.take(6)
      assert.deepStrictEqual(frames, [
        "A yes",
        "I one",
        "I a chunk of",
        "I  several m",
        "I essages",
        "F three"
      ])
      yield* Served.settle
      assert.deepStrictEqual(released, chunks)
      for (const [index, chunk] of chunks.entries()) assert.strictEqual(released[index], chunk)
    })
  )

  it.effect("are kept while the socket holds them up", () =>
    Effect.gen(function* () {
      const { engine, released } = recording([text("0123456789"), text("0123456789")], Stream.never)
      const { peer } = yield* Served.open({ engine, capacity: 20 })
      yield* peer.request("all")
      yield* Served.settle
      assert.deepStrictEqual(released, [])
      assert.deepStrictEqual(yield* peer.take(3), ["A yes", "I 0123456789", "I 0123456789"])
      yield* Served.settle
      assert.strictEqual(released.length, 2)
    })
  )

  it.effect("are given back once each if they are never sent", () =>
    Effect.gen(function* () {
      const chunks = [text("0123456789"), text("0123456789"), text("0123456789")]
      const { engine, released } = recording(chunks, Stream.never)
      const { peer } = yield* Served.open({ engine, capacity: 20, batchSize: 10 })
      yield* peer.request("all")
      yield* Served.settle
      assert.deepStrictEqual(released, [])
      yield* peer.cancel
      yield* Served.settle
      const frames = yield* peer.take(3)
      assert.deepStrictEqual(frames, ["A yes", "I 0123456789", "K"])
      yield* Served.settle
      assert.strictEqual(released.length, chunks.length)
      assert.deepStrictEqual(new Set(released), new Set(chunks))
    })
  )

  it.effect("are forgotten with their query while the connection waits for the next one", () =>
    Effect.gen(function* () {
      const queries: Array<WeakRef<object>> = []
      const engine = QueryEngine.of({
        init: () => {
          const release = () => {}
          queries.push(new WeakRef(release))
          const chunk = Chunk.owned(text("one"), release)
          return Effect.succeed({ payload: text("yes"), chunks: Stream.make(chunk) })
        }
      })
      const { peer } = yield* Served.open({ engine })
      for (const request of ["first", "second"]) {
        yield* peer.request(request)
        assert.deepStrictEqual(yield* peer.take(2), ["A yes", "F one"])
      }
      yield* Served.settle
      yield* Garbage.collect
      assert.deepStrictEqual(
        queries.map((query) => query.deref()),
        [undefined, undefined]
      )
    })
  )

  it.effect("end the connection, too, if they were never sent, and each is given back once", () => {
    const log: Array<string> = []
    const logger = Logger.make(({ cause, message }) => void log.push(`${message} ${Cause.squash(cause)}`))
    return Effect.gen(function* () {
      const tried: Array<string> = []
      const chunks = ["one", "two"].map((name) =>
        Chunk.owned(text(name), () => {
          tried.push(name)
          throw new Error("not mine")
        })
      )
      const engine = QueryEngine.of({
        init: () =>
          Effect.succeed({
            payload: text("yes"),
            chunks: Stream.concat(Stream.fromIterable(chunks), Stream.never)
          })
      })
      const { closed, ended, peer } = yield* Served.open({ engine, capacity: 1 })
      yield* peer.request("all")
      yield* Served.settle
      yield* peer.cancel
      while (!/^(K|closed)/.test(yield* peer.next));
      yield* ended
      assert.deepStrictEqual(tried, ["one", "two"])
      assert.strictEqual(closed().control.reason, "run")
      assert.match(log.join(), /not mine/)
    }).pipe(Effect.provide(Logger.layer([logger])))
  })

  for (const { rest, sent, settings, when } of [
    { when: "at the end of the result", rest: Stream.empty, settings: {}, sent: "F one" },
    {
      when: "while it has more than it may hand over",
      rest: Stream.forever(Stream.make(text("more"))),
      settings: { prefetchSize: 1 },
      sent: "I one"
    }
  ]) {
    it.effect(`end the connection if the engine fails to take them back ${when}`, () => {
      const log: Array<string> = []
      const logger = Logger.make(({ cause, message }) => void log.push(`${message} ${Cause.squash(cause)}`))
      return Effect.gen(function* () {
        const chunk = Chunk.owned(text("one"), () => {
          throw new Error("not mine")
        })
        const engine = QueryEngine.of({
          init: () =>
            Effect.succeed({ payload: text("yes"), chunks: Stream.concat(Stream.make(chunk), rest) })
        })
        const { closed, ended, peer } = yield* Served.open({ engine, ...settings })
        yield* peer.request("all")
        assert.deepStrictEqual(yield* peer.take(2), ["A yes", sent])
        yield* ended
        assert.strictEqual(closed().control.reason, "run")
        assert.match(closed().detail, /not mine/)
        assert.match(log.join(), /A response broke.*not mine/)
      }).pipe(Effect.provide(Logger.layer([logger])))
    })
  }
})
