import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Generations from "../../src/engine/Generations.ts"
import type { Engine } from "../../src/engine/QueryEngine.ts"

/** Engines that answer with their name, and a log of when they open and close. */
const engines = Effect.gen(function* () {
  const log: Array<string> = []
  const hold = yield* Latch.make()
  const open = (name: string): Effect.Effect<Engine, string, Scope.Scope> =>
    name === "broken"
      ? Effect.andThen(
          Effect.addFinalizer(() => Effect.sync(() => void log.push("broken closed"))),
          Effect.fail("broken")
        )
      : Effect.acquireRelease(
          Effect.sync((): Engine => {
            log.push(`${name} opened`)
            const payload = new TextEncoder().encode(name)
            return {
              init: () =>
                Effect.succeed({ payload, chunks: Stream.fromEffect(Effect.as(hold.await, payload)) })
            }
          }),
          () => Effect.sync(() => void log.push(`${name} closed`))
        )
  return { log, hold, open }
})

const ask = (engine: Engine) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { chunks } = yield* engine.init(new Uint8Array(0))
      return yield* Stream.mkString(Stream.decodeText(chunks))
    })
  )

describe("an engine that is replaced", () => {
  it.effect("answers what it began, and closes after that; the next one answers what comes", () =>
    Effect.gen(function* () {
      const { hold, log, open } = yield* engines
      const { engine, reload } = yield* Generations.make<string, string>(open, "one")
      const first = yield* Effect.forkChild(ask(engine), { startImmediately: true })
      yield* reload("two")
      assert.deepStrictEqual(log, ["one opened", "two opened"])
      const second = yield* Effect.forkChild(ask(engine), { startImmediately: true })
      yield* hold.open
      assert.deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(second)], ["one", "two"])
      yield* Effect.yieldNow
      assert.deepStrictEqual(log, ["one opened", "two opened", "one closed"])
      yield* reload("three")
      assert.deepStrictEqual(log.slice(3), ["three opened", "two closed"])
    })
  )

  it.effect("stays if the next one cannot be had", () =>
    Effect.gen(function* () {
      const { hold, log, open } = yield* engines
      yield* hold.open
      const { engine, reload } = yield* Generations.make<string, string>(open, "one")
      assert.strictEqual(yield* Effect.flip(reload("broken")), "broken")
      assert.strictEqual(yield* ask(engine), "one")
      assert.deepStrictEqual(log, ["one opened", "broken closed"])
    })
  )

  it.effect("closes with all others when the scope does", () =>
    Effect.gen(function* () {
      const { log, open } = yield* engines
      const scope = yield* Scope.make()
      const { engine, reload } = yield* Scope.provide(Generations.make<string, string>(open, "one"), scope)
      const query = yield* Effect.forkChild(ask(engine), { startImmediately: true })
      yield* reload("two")
      yield* Scope.close(scope, Exit.void)
      assert.sameMembers(log, ["one opened", "two opened", "one closed", "two closed"])
      yield* Fiber.interrupt(query)
      assert.strictEqual(log.length, 4)
    })
  )

  it.effect("closes after what uses it, however late it was opened", () =>
    Effect.gen(function* () {
      const { log, open } = yield* engines
      const scope = yield* Scope.make()
      const { reload } = yield* Scope.provide(Generations.make<string, string>(open, "one"), scope)
      yield* Scope.addFinalizer(
        scope,
        Effect.sync(() => void log.push("server closed"))
      )
      yield* reload("two")
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(log.slice(2), ["one closed", "server closed", "two closed"])
    })
  )
})
