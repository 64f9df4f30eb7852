import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { Shutdown } from "../../src/server/Shutdown.ts"

/** A member that notes what it is told, and leaves when it has been told what it waits for. */
const member = Effect.fnUntraced(function* (shutdown: Shutdown, leavesAt?: "drain" | "drainExpired") {
  const told: Array<string> = []
  const scope = yield* Scope.make()
  const leave = Scope.close(scope, Exit.void)
  const tell = (what: "drain" | "drainExpired") =>
    Effect.suspend(() => {
      told.push(what)
      return what === leavesAt ? leave : Effect.void
    })
  yield* Scope.provide(shutdown.join({ drain: tell("drain"), drainExpired: tell("drainExpired") }), scope)
  return { told, leave }
})

/** Drains in the background; `ended` says whether it has come to its end. */
const drain = Effect.fnUntraced(function* (shutdown: Shutdown) {
  const fiber = yield* Effect.forkChild(shutdown.drain("10 seconds"), { startImmediately: true })
  return { ended: () => fiber.pollUnsafe() !== undefined, join: Fiber.join(fiber) }
})

describe("a drain", () => {
  it.effect("ends at once without members", () =>
    Effect.gen(function* () {
      yield* (yield* drain(new Shutdown())).join
    })
  )

  it.effect("ends at once where all members leave when they are told", () =>
    Effect.gen(function* () {
      const shutdown = new Shutdown()
      const { told } = yield* member(shutdown, "drain")
      yield* member(shutdown, "drain")
      yield* (yield* drain(shutdown)).join
      assert.deepStrictEqual(told, ["drain"])
    })
  )

  it.effect("waits for the last member", () =>
    Effect.gen(function* () {
      const shutdown = new Shutdown()
      const first = yield* member(shutdown)
      const second = yield* member(shutdown)
      const draining = yield* drain(shutdown)
      yield* first.leave
      yield* TestClock.adjust("9999 millis")
      assert.isFalse(draining.ended())
      yield* second.leave
      yield* draining.join
      assert.deepStrictEqual(second.told, ["drain"])
    })
  )

  it.effect("tells the members that are left when its time is over, and ends when they have left", () =>
    Effect.gen(function* () {
      const shutdown = new Shutdown()
      const { told } = yield* member(shutdown, "drainExpired")
      const draining = yield* drain(shutdown)
      yield* TestClock.adjust("9999 millis")
      assert.deepStrictEqual(told, ["drain"])
      yield* TestClock.adjust("1 millis")
      yield* draining.join
      assert.deepStrictEqual(told, ["drain", "drainExpired"])
    })
  )

  it.effect("gives up on members that do not leave even then", () =>
    Effect.gen(function* () {
      const shutdown = new Shutdown()
      yield* member(shutdown)
      const draining = yield* drain(shutdown)
      yield* TestClock.adjust("11999 millis")
      assert.isFalse(draining.ended())
      yield* TestClock.adjust("1 millis")
      yield* draining.join
    })
  )

  for (const when of ["before it", "in its time", "in its last moment"]) {
    it.effect(`waits from \`now\` on, ${when}, no longer than last messages may take`, () =>
      Effect.gen(function* () {
        const shutdown = new Shutdown()
        const { told } = yield* member(shutdown)
        if (when === "before it") yield* shutdown.now
        const draining = yield* drain(shutdown)
        if (when === "in its last moment") yield* TestClock.adjust("10 seconds")
        yield* shutdown.now
        yield* TestClock.adjust("249 millis")
        assert.deepStrictEqual(told, ["drain", "drainExpired"])
        assert.isFalse(draining.ended())
        yield* TestClock.adjust("1 millis")
        yield* draining.join
      })
    )
  }

  it.effect("waits for nothing when the last messages were sent", () =>
    Effect.gen(function* () {
      const shutdown = new Shutdown()
      yield* member(shutdown, "drainExpired")
      const draining = yield* drain(shutdown)
      yield* shutdown.now
      yield* draining.join
    })
  )

  it.effect("tells a member that comes later what the others were told last", () =>
    Effect.gen(function* () {
      const shutdown = new Shutdown()
      yield* member(shutdown)
      const draining = yield* drain(shutdown)
      assert.deepStrictEqual((yield* member(shutdown)).told, ["drain"])
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual((yield* member(shutdown)).told, ["drainExpired"])
      yield* TestClock.adjust("2 seconds")
      yield* draining.join
    })
  )
})
