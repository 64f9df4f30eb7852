import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as Alarms from "../../src/loop/Timers.ts"

/** A sleeper that notes when it is woken, and then does something. */
const sleeper = (name: string, log: Array<string>, then?: () => void): Alarms.Sleeper => ({
  wake: (now) => {
    log.push(`${name} ${now}`)
    then?.()
  },
  alarm: undefined,
  place: 0
})

const { never } = Alarms

describe("alarms", () => {
  it.effect("wake each sleeper at its time, and once", () =>
    Effect.gen(function* () {
      const alarms = yield* Alarms.make
      const log: Array<string> = []
      for (const [name, at] of [
        ["a", 30],
        ["b", 10],
        ["c", 20],
        ["d", 10]
      ] as const) {
        alarms.set(sleeper(name, log), at)
      }
      yield* TestClock.adjust(9)
      assert.deepStrictEqual(log, [])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(log, ["b 10", "d 10"])
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(log, ["b 10", "d 10", "c 20", "a 30"])
    })
  )

  it.effect("wake a sleeper at the time it was moved to, sooner or later, or not at all", () =>
    Effect.gen(function* () {
      const alarms = yield* Alarms.make
      const log: Array<string> = []
      const [sooner, later, not] = ["sooner", "later", "not"].map((name) => sleeper(name, log))
      for (const each of [sooner, later, not]) alarms.set(each as Alarms.Sleeper, 100)
      yield* TestClock.adjust(10)
      alarms.set(sooner as Alarms.Sleeper, 50)
      alarms.set(later as Alarms.Sleeper, 150)
      alarms.set(not as Alarms.Sleeper, never)
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(log, ["sooner 50", "later 150"])
    })
  )

  it.effect("wake a sleeper with another that is woken a little before its time, where it may be early", () =>
    Effect.gen(function* () {
      const alarms = yield* Alarms.make
      const log: Array<string> = []
      const set = (name: string, at: number, early: number) => {
        const one = sleeper(name, log)
        alarms.set(one, at, early)
        return one.alarm?.at
      }
      assert.strictEqual(set("first", 100, 5), 100)
      assert.strictEqual(set("second", 105, 5), 100)
      assert.strictEqual(set("third", 106, 5), 106)
      assert.strictEqual(set("exact", 107, 0), 107)
      assert.strictEqual(set("latest", 110, 5), 107)
      assert.strictEqual(set("before", 99, 5), 99)
      assert.isUndefined(set("never", never, 5))
      yield* TestClock.adjust(1000)
      const times = ["before 99", "first 100", "second 100", "third 106", "exact 107", "latest 107"]
      assert.deepStrictEqual(log, times)
    })
  )

  it.effect("find a sleeper that was moved to be woken with another", () =>
    Effect.gen(function* () {
      const alarms = yield* Alarms.make
      const log: Array<string> = []
      alarms.set(sleeper("first", log), 100)
      const second = sleeper("second", log)
      alarms.set(second, 103, 5)
      alarms.set(second, 200)
      yield* TestClock.adjust(150)
      assert.deepStrictEqual(log, ["first 100"])
      yield* TestClock.adjust(50)
      assert.deepStrictEqual(log, ["first 100", "second 200"])
    })
  )

  it.effect("do not wake a sleeper that one woken before it at the same time has taken back", () =>
    Effect.gen(function* () {
      const alarms = yield* Alarms.make
      const log: Array<string> = []
      const [second, third] = [sleeper("second", log), sleeper("third", log)]
      const first = sleeper("first", log, () => {
        alarms.set(second, never)
        alarms.set(third, 20)
      })
      for (const each of [first, second, third]) alarms.set(each, 10)
      for (let i = 0; i < 2; i++) yield* TestClock.adjust(10)
      assert.deepStrictEqual(log, ["first 10", "third 20"])
    })
  )

  it.effect("wake a sleeper whose time has passed in a later turn, never on the stack that set it", () =>
    Effect.gen(function* () {
      const alarms = yield* Alarms.make
      const log: Array<string> = []
      yield* TestClock.adjust(10)
      alarms.set(sleeper("late", log), 5)
      assert.deepStrictEqual(log, [])
      yield* Effect.replicateEffect(Effect.yieldNow, 3)
      assert.deepStrictEqual(log, ["late 10"])
    })
  )

  it.effect("take a next time from a sleeper that they wake", () =>
    Effect.gen(function* () {
      const alarms = yield* Alarms.make
      const log: Array<string> = []
      let at = 10
      const again = sleeper("again", log, () => {
        at += 10
        alarms.set(again, at)
      })
      alarms.set(again, at)
      for (let i = 0; i < 3; i++) yield* TestClock.adjust(10)
      assert.deepStrictEqual(log, ["again 10", "again 20", "again 30"])
    })
  )

  it.effect("log what a sleeper throws, and wake the others", () =>
    Effect.gen(function* () {
      const messages: Array<unknown> = []
      const logger = Logger.make(({ message }) => void messages.push(message))
      const log: Array<string> = []
      yield* Effect.gen(function* () {
        const alarms = yield* Alarms.make
        const broken = sleeper("broken", log, () => {
          throw new Error("broken")
        })
        alarms.set(broken, 10)
        alarms.set(sleeper("next", log), 10)
        alarms.set(sleeper("last", log), 20)
        for (let i = 0; i < 2; i++) yield* TestClock.adjust(10)
      }).pipe(Effect.provide(Logger.layer([logger])))
      assert.deepStrictEqual(log, ["broken 10", "next 10", "last 20"])
      assert.include(String(messages), "An alarm failed")
    })
  )

  it.effect("wake nobody once their scope is closed", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const alarms = yield* Scope.provide(Alarms.make, scope)
      const log: Array<string> = []
      alarms.set(sleeper("a", log), 10)
      yield* Scope.close(scope, Exit.void)
      alarms.set(sleeper("b", log), 20)
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(log, [])
    })
  )
})
