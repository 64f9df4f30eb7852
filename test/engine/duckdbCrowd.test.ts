import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { Crowd } from "../../src/engine/duckdb/Crowd.ts"

describe("a query that finds no memory", () => {
  it.effect("has had all of it if it was alone, and for longer than an earlier one may have left some", () =>
    Effect.gen(function* () {
      const crowd = new Crowd()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const hasAll = yield* crowd.enter
          assert.isFalse(hasAll())
          yield* TestClock.adjust(1000)
          assert.isTrue(hasAll())
          // One that has left since is counted too.
          yield* Effect.scoped(crowd.enter)
          assert.isFalse(hasAll())
          const second = yield* crowd.enter
          yield* TestClock.adjust(1000)
          assert.isFalse(second())
        })
      )
      const hasAll = yield* crowd.enter
      yield* TestClock.adjust(1000)
      assert.isTrue(hasAll())
    })
  )
})
