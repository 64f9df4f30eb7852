import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import { QueryEngine } from "../../src/engine/QueryEngine.ts"
import * as Chunk from "../../src/net/Chunk.ts"
import * as TestServer from "../../src/testing/TestServer.ts"
import { failure } from "../support/Failure.ts"

/** It takes two seconds to accept. */
const slow = QueryApi.makeEngine({
  formats: ["text/csv"],
  run: () => Effect.as(Effect.sleep("2 seconds"), { chunks: Stream.empty })
})

it.effect("a settled request has reached the engine before the clock moves", () =>
  Effect.gen(function* () {
    for (const [queryTimeout, succeeds] of [
      ["5 seconds", true],
      ["1 second", false]
    ] as const) {
      const client = yield* TestServer.connect({ server: { queryTimeout } })
      const asked = Effect.exit(client.query({ query: "any", format: "text/csv" }))
      const query = yield* Effect.forkChild(asked)
      yield* TestServer.settle
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(Exit.isSuccess(yield* Fiber.join(query)), succeeds)
    }
  }).pipe(Effect.provideService(QueryEngine, slow))
)

it.effect("a limit of the server's end that is none is named", () =>
  Effect.gen(function* () {
    for (const [server, said] of [
      [{ lengthCounts: "x" as never }, 'lengthCounts must be one of body, typeAndBody, frame, got "x"'],
      [{ chunkSize: 0 }, "chunkSize must be a size of at least 1 B, got 0"]
    ] as const) {
      const exit = yield* Effect.exit(TestServer.connect({ server }))
      assert.strictEqual(failure(exit), `RangeError: ${said}`)
    }
  }).pipe(Effect.provideService(QueryEngine, slow))
)

it.effect("what was sent stays as it was when its memory has been given back", () =>
  Effect.gen(function* () {
    const text = "x".repeat(60_000)
    const chunk = () => Chunk.owned(Buffer.from(text), (bytes) => bytes.fill(0))
    const engine = QueryApi.makeEngine({
      formats: ["text/csv"],
      run: () => Effect.succeed({ chunks: Stream.fromIterable([1, 2, 3, 4, 5, 6].map(chunk)) })
    })
    const client = yield* Effect.provideService(TestServer.connect(), QueryEngine, engine)
    const { chunks } = yield* client.query({ query: "any", format: "text/csv" })
    const slowly = Stream.tap(chunks, () => TestServer.settle)
    assert.strictEqual(yield* Stream.mkString(Stream.decodeText(slowly)), text.repeat(6))
  })
)
