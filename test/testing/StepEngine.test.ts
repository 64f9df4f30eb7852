import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { accept, chunk, end, make } from "../../src/testing/StepEngine.ts"

const body = new TextEncoder().encode("one")

describe("StepEngine", () => {
  it.effect("waits for each step, and records the query's begin and end", () =>
    Effect.gen(function* () {
      const { engine, log, step } = yield* make()
      const query = Effect.flatMap(engine.init(body), ({ chunks }) =>
        Stream.mkString(Stream.decodeText(chunks))
      )
      const fiber = yield* Effect.forkChild(Effect.scoped(query), { startImmediately: true })
      yield* step(accept, chunk("a"))
      yield* Effect.replicateEffect(Effect.yieldNow, 20)
      assert.strictEqual(fiber.pollUnsafe(), undefined)
      assert.deepStrictEqual(log, ["init one"])
      yield* step(chunk("b"), end)
      assert.strictEqual(yield* Fiber.join(fiber), "ab")
      assert.deepStrictEqual(log, ["init one", "ended"])
    })
  )

  it.effect("rejects and fails by its steps, and takes steps back", () =>
    Effect.gen(function* () {
      const { drop, engine, step } = yield* make()
      yield* step({ _tag: "reject", payload: "dropped" })
      yield* drop
      yield* step({ _tag: "reject", payload: "no" }, accept, { _tag: "fail", payload: "broken" })
      const rejected = yield* Effect.flip(Effect.scoped(engine.init(body)))
      assert.strictEqual(rejected._tag, "QueryRejected")
      const failed = yield* engine.init(body).pipe(
        Effect.flatMap(({ chunks }) => Stream.runDrain(chunks)),
        Effect.scoped,
        Effect.flip
      )
      assert.strictEqual(failed._tag, "QueryFailed")
    })
  )

  it.effect("dies of a step out of place", () =>
    Effect.gen(function* () {
      const { engine, step } = yield* make()
      yield* step(end)
      const exit = yield* Effect.exit(Effect.scoped(engine.init(body)))
      assert.isTrue(Exit.hasDies(exit))
    })
  )
})
