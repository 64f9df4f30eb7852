import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Spawner from "../../src/loop/Spawner.ts"

const note = (log: Array<string>, text: string) => Effect.sync(() => void log.push(text))

describe("a spawner", () => {
  it.effect("forks a job in a turn of its own", () =>
    Effect.gen(function* () {
      const spawner = yield* Spawner.make
      const log: Array<string> = []
      for (const name of ["a", "b", "c"]) {
        spawner.spawn(note(log, name))
        assert.notStrictEqual(log.at(-1), name)
        yield* Effect.yieldNow
        assert.strictEqual(log.at(-1), name)
      }
    })
  )

  it.effect("forks jobs in their order, those that one gives behind it", () =>
    Effect.gen(function* () {
      const spawner = yield* Spawner.make
      const log: Array<string> = []
      spawner.spawn(
        Effect.sync(() => {
          log.push("first")
          spawner.spawn(note(log, "second"))
          spawner.spawn(note(log, "third"))
          log.push("end of the first")
        })
      )
      while (log.length < 4) yield* Effect.yieldNow
      assert.deepStrictEqual(log, ["first", "end of the first", "second", "third"])
    })
  )

  it.effect("goes on when a job fails, and while others wait", () =>
    Effect.gen(function* () {
      const spawner = yield* Spawner.make
      const log: Array<string> = []
      spawner.spawn(Effect.never)
      spawner.spawn(Effect.die(new Error("broken")))
      spawner.spawn(note(log, "next"))
      yield* Effect.yieldNow
      assert.deepStrictEqual(log, ["next"])
    })
  )

  it.effect("forks more jobs at once than a stack would hold", () =>
    Effect.gen(function* () {
      const spawner = yield* Spawner.make
      let count = 0
      const job: Effect.Effect<void> = Effect.sync(() => {
        if (++count < 20_000) spawner.spawn(job)
      })
      spawner.spawn(job)
      yield* Effect.yieldNow
      while (count < 20_000) yield* Effect.yieldNow
    })
  )

  it.effect("has its scope end its jobs, and forks none afterwards", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const spawner = yield* Scope.provide(Spawner.make, scope)
      const log: Array<string> = []
      spawner.spawn(Effect.onInterrupt(Effect.never, () => note(log, "interrupted")))
      yield* Effect.yieldNow
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(log, ["interrupted"])
      spawner.spawn(note(log, "late"))
      yield* Effect.yieldNow
      assert.deepStrictEqual(log, ["interrupted"])
    })
  )
})
