/** Which statements begin beside which others, and how long the others wait. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as Turns from "../../src/engine/duckdb/Turns.ts"

/** Asks for turns in this order. Each is ended by its name. */
const ask = Effect.fnUntraced(function* (turns: Turns.Turns, turn: Turns.Turn) {
  const scope = yield* Scope.make()
  const fiber = yield* Effect.forkChild(Scope.provide(turns.take(turn), scope), { startImmediately: true })
  return {
    hasBegun: () => fiber.pollUnsafe() !== undefined,
    end: Scope.close(scope, Exit.void),
    outcome: Fiber.join(fiber),
    leave: Effect.andThen(Fiber.interrupt(fiber), Scope.close(scope, Exit.void))
  }
})

describe("a statement that alters", () => {
  it.effect("waits for changes, and only changes wait for it", () =>
    Effect.gen(function* () {
      const turns = new Turns.Turns()
      const query = yield* ask(turns, "reads")
      const change = yield* ask(turns, "writes")
      const beside = yield* ask(turns, "adds")
      const alters = yield* ask(turns, "alters")
      const next = yield* ask(turns, "alters")
      const begun = () => [query, change, beside, alters, next].map(({ hasBegun }) => hasBegun())
      assert.deepStrictEqual(begun(), [true, true, true, false, false])
      yield* change.end
      assert.isFalse(alters.hasBegun())
      yield* beside.end
      yield* alters.outcome
      yield* (yield* ask(turns, "reads")).outcome
      assert.isFalse(next.hasBegun())
      yield* alters.end
      yield* next.outcome
    })
  )
})

describe("a statement that runs alone", () => {
  it.effect("waits for changes and for queries from before them, and only changes wait for it", () =>
    Effect.gen(function* () {
      const turns = new Turns.Turns()
      const old = yield* ask(turns, "reads")
      const change = yield* ask(turns, "writes")
      const alone = yield* ask(turns, "alone")
      const next = yield* ask(turns, "writes")
      const query = yield* ask(turns, "reads")
      const begun = () => [old, change, alone, next, query].map(({ hasBegun }) => hasBegun())
      assert.deepStrictEqual(begun(), [true, true, false, false, true])
      yield* change.end
      yield* query.end
      assert.isFalse(alone.hasBegun())
      yield* old.end
      yield* alone.outcome
      const young = yield* ask(turns, "reads")
      assert.isFalse(next.hasBegun())
      yield* alone.end
      yield* next.outcome
      yield* next.leave
      const again = yield* ask(turns, "alone")
      assert.isFalse(again.hasBegun())
      yield* again.leave
      yield* (yield* ask(turns, "writes")).outcome
      yield* young.end
    })
  )

  it.effect("lets changes pass while it waits for a long query, and runs once that has ended", () =>
    Effect.gen(function* () {
      const turns = new Turns.Turns()
      const long = yield* ask(turns, "reads")
      yield* (yield* ask(turns, "writes")).end
      const alone = yield* ask(turns, "alone")
      const changes = [yield* ask(turns, "writes"), yield* ask(turns, "adds")]
      yield* TestClock.adjust("499 millis")
      assert.isFalse(changes.some(({ hasBegun }) => hasBegun()))
      yield* TestClock.adjust("1 millis")
      for (const { end, outcome } of changes) yield* Effect.andThen(outcome, end)
      yield* TestClock.adjust("4 seconds")
      assert.isFalse(alone.hasBegun())
      const last = yield* ask(turns, "adds")
      yield* long.end
      const behind = yield* ask(turns, "writes")
      assert.isFalse(alone.hasBegun() || behind.hasBegun())
      yield* last.end
      yield* alone.outcome
    })
  )

  it.effect("does not wait for queries from before additions", () =>
    Effect.gen(function* () {
      const turns = new Turns.Turns()
      yield* (yield* ask(turns, "reads")).outcome
      yield* (yield* ask(turns, "adds")).end
      yield* (yield* ask(turns, "alone")).outcome
    })
  )

  it.effect("is rejected, to be tried again, if it waits for too long, and so is a change behind it", () =>
    Effect.gen(function* () {
      const turns = new Turns.Turns()
      const first = yield* ask(turns, "writes")
      const alone = yield* ask(turns, "alone")
      yield* TestClock.adjust("5 seconds")
      assert.isTrue((yield* Effect.flip(alone.outcome)).retryable)
      yield* alone.end
      yield* first.end
      yield* (yield* ask(turns, "alone")).outcome
      const change = yield* ask(turns, "writes")
      yield* TestClock.adjust("30 seconds")
      assert.isTrue((yield* Effect.flip(change.outcome)).retryable)
    })
  )
})
