import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as fc from "fast-check"
import * as Timers from "../../src/loop/Timers.ts"

const { never } = Timers

/** Timers, and deadlines that note when they expire. */
const open = Effect.gen(function* () {
  const timers = yield* Timers.make
  const log: Array<string> = []
  const deadline = (name: string, then?: () => void) =>
    timers.deadline(() => {
      log.push(`${name} ${timers.now()}`)
      then?.()
    })
  const set = (name: string, at: number) => deadline(name).set(at)
  return { deadline, log, set, timers }
})

/** The test's clock, with a wall clock that can be set, and a count of those that sleep. */
const watchedClock = Effect.map(Clock.Clock, (base) => {
  let ahead = 0
  let sleeping = 0
  let mostSleeping = 0
  const wallMillis = () => base.currentTimeMillisUnsafe() + ahead
  const wallNanos = () => BigInt(wallMillis()) * 1_000_000n
  const clock: Clock.Clock = {
    currentTimeMillisUnsafe: wallMillis,
    currentTimeMillis: Effect.sync(wallMillis),
    currentTimeNanosUnsafe: wallNanos,
    currentTimeNanos: Effect.sync(wallNanos),
    monotonicTimeNanosUnsafe: () => base.monotonicTimeNanosUnsafe(),
    monotonicTimeNanos: base.monotonicTimeNanos,
    sleep: (duration) =>
      Effect.suspend(() => {
        mostSleeping = Math.max(mostSleeping, ++sleeping)
        return Effect.ensuring(
          base.sleep(duration),
          Effect.sync(() => void sleeping--)
        )
      })
  }
  return {
    clock,
    setWall: (by: Duration.Duration) => {
      ahead = Duration.toMillis(by)
    },
    mostSleeping: () => mostSleeping
  }
})

describe("a deadline", () => {
  it.effect("expires at its time, and once", () =>
    Effect.gen(function* () {
      const { log, set } = yield* open
      set("a", 30)
      set("b", 10)
      set("c", 20)
      set("d", 10)
      yield* TestClock.adjust(9)
      assert.deepStrictEqual(log, [])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(log, ["b 10", "d 10"])
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(log, ["b 10", "d 10", "c 20", "a 30"])
    })
  )

  it.effect("expires at the time that was set last, sooner or later, or not at all", () =>
    Effect.gen(function* () {
      const { deadline, log } = yield* open
      const [sooner, later, not, cleared] = ["sooner", "later", "not", "cleared"].map((name) =>
        deadline(name)
      )
      for (const each of [sooner, later, not, cleared]) each?.set(100)
      yield* TestClock.adjust(10)
      sooner?.set(50)
      later?.set(150)
      not?.set(never)
      cleared?.clear()
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(log, ["sooner 50", "later 150"])
    })
  )

  it.effect("that is put off again and again expires when that ends", () =>
    Effect.gen(function* () {
      const { deadline, log } = yield* open
      const silence = deadline("silence")
      for (let now = 0; now < 1000; now += 7) {
        silence.set(now + 20)
        yield* TestClock.adjust(7)
        assert.deepStrictEqual(log, [])
      }
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(log, [`silence ${994 + 20}`])
    })
  )

  it.effect("can be set again when it has expired, or was cleared", () =>
    Effect.gen(function* () {
      const { deadline, log } = yield* open
      const again = deadline("again")
      again.set(10)
      yield* TestClock.adjust(10)
      again.set(25)
      again.clear()
      again.set(20)
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(log, ["again 10", "again 20"])
    })
  )

  it.effect("may be set by its own expiry", () =>
    Effect.gen(function* () {
      const { deadline, log } = yield* open
      let at = 10
      const again = deadline("again", () => {
        at += 10
        again.set(at)
      })
      again.set(at)
      yield* TestClock.adjust(35)
      assert.deepStrictEqual(log, ["again 10", "again 20", "again 30"])
    })
  )

  it.effect("does not expire if one that expires at the same time clears it, or puts it off", () =>
    Effect.gen(function* () {
      const { deadline, log } = yield* open
      const [cleared, later] = [deadline("cleared"), deadline("later")]
      const first = deadline("first", () => {
        cleared.clear()
        later.set(20)
      })
      for (const each of [first, cleared, later]) each.set(10)
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(log, ["first 10", "later 20"])
    })
  )

  it.effect("whose time has passed expires in a later turn, never on the stack that sets it", () =>
    Effect.gen(function* () {
      const { log, set } = yield* open
      yield* TestClock.adjust(10)
      set("late", 5)
      assert.deepStrictEqual(log, [])
      yield* Effect.replicateEffect(Effect.yieldNow, 3)
      assert.deepStrictEqual(log, ["late 10"])
    })
  )

  it.effect("that throws is logged, and keeps no other from expiring", () =>
    Effect.gen(function* () {
      const messages: Array<unknown> = []
      const logger = Logger.make(({ message }) => void messages.push(message))
      yield* Effect.gen(function* () {
        const { deadline, log, set } = yield* open
        deadline("broken", () => {
          throw new Error("broken")
        }).set(10)
        set("next", 10)
        set("last", 20)
        yield* TestClock.adjust(100)
        assert.deepStrictEqual(log, ["broken 10", "next 10", "last 20"])
      }).pipe(Effect.provide(Logger.layer([logger])))
      assert.include(String(messages), "A timer failed")
    })
  )

  it.effect("cannot be set to NaN", () =>
    Effect.gen(function* () {
      const { deadline, log, timers } = yield* open
      const wrong = deadline("wrong")
      for (const at of [10, never]) {
        wrong.set(at)
        assert.throws(() => wrong.set(Number.NaN), /at a time in milliseconds, not at NaN/)
      }
      wrong.clear()
      assert.isTrue(Exit.hasDies(yield* Effect.exit(timers.sleepUntil(Number.NaN))))
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(log, [])
    })
  )
})

describe("the tolerance", () => {
  it("is a hundredth of the wait, and a second at most", () => {
    const waits = [0, 99, 100, 5000, 100_000, 10_000_000, never].map(Timers.tolerance)
    assert.deepStrictEqual(waits, [0, 0, 1, 50, 1000, 1000, 1000])
  })

  it.effect("lets a timer fire together with one that fires a little later, but not with one before it", () =>
    Effect.gen(function* () {
      const { log, set } = yield* open
      set("at 10000", 10_000)
      set("at 9950", 9950)
      set("at 9899", 9899)
      set("at 10001", 10_001)
      yield* TestClock.adjust(20_000)
      assert.deepStrictEqual(log, ["at 9899 9899", "at 10000 10000", "at 9950 10000", "at 10001 10001"])
    })
  )

  it.effect("is what no timer exceeds, and none fires before its time", () =>
    Effect.gen(function* () {
      const waits = fc.sample(fc.array(fc.nat(200_000), { minLength: 50, maxLength: 50 }), {
        numRuns: 20,
        seed: 1
      })
      const timers = yield* Timers.make
      let fired = 0
      for (const list of waits) {
        for (const wait of list) {
          const at = timers.now() + wait
          const set = () => {
            const asked = timers.now()
            const deadline = timers.deadline(() => {
              fired++
              const late = timers.now() - at
              assert.isAtLeast(late, 0)
              assert.isAtMost(late, Timers.tolerance(at - asked))
            })
            deadline.set(at)
          }
          set()
          yield* TestClock.adjust(wait % 100)
        }
        yield* TestClock.adjust(201_000)
      }
      assert.strictEqual(fired, 1000)
    })
  )

  it.effect("has thousands of timers share a few sleeps, one at a time", () =>
    Effect.gen(function* () {
      const { clock, mostSleeping } = yield* watchedClock
      const timers = yield* Effect.provideService(Timers.make, Clock.Clock, clock)
      const times = new Set<number>()
      let fired = 0
      for (let i = 0; i < 10_000; i++) {
        const deadline = timers.deadline(() => {
          fired++
          times.add(timers.now())
        })
        deadline.set(60_000 - i)
      }
      yield* TestClock.adjust(61_000)
      assert.strictEqual(fired, 10_000)
      assert.isBelow(times.size, 25)
      assert.strictEqual(mostSleeping(), 1)
    })
  )
})

/** A clock whose time goes on while nothing else does, as when the thread is busy. */
const busyClock = Effect.map(Clock.Clock, (base) => {
  let aheadMillis = 0
  const clock: Clock.Clock = Object.setPrototypeOf(
    { monotonicTimeNanosUnsafe: () => base.monotonicTimeNanosUnsafe() + BigInt(aheadMillis) * 1_000_000n },
    base
  )
  const beBusy = (millis: number) => {
    aheadMillis += millis
  }
  return { beBusy, clock }
})

describe("a deadline, when the thread was busy,", () => {
  const opened = Effect.gen(function* () {
    const { beBusy, clock } = yield* busyClock
    const timers = yield* Effect.provideService(open, Clock.Clock, clock)
    return { beBusy, ...timers }
  })

  it.effect("waits for another poll if its time came after the last one", () =>
    Effect.gen(function* () {
      let now = 0
      let wake = (): void => {}
      const clock: Clock.Clock = Object.setPrototypeOf(
        {
          monotonicTimeNanosUnsafe: () => BigInt(now) * 1_000_000n,
          sleep: () =>
            Effect.callback<void>((resume) => {
              wake = () => resume(Effect.void)
            })
        },
        yield* Clock.Clock
      )
      const { log, timers } = yield* Effect.provideService(open, Clock.Clock, clock)
      const sleep = (name: string, at: number) =>
        Effect.forkChild(
          Effect.andThen(
            timers.sleepUntil(at),
            Effect.sync(() => log.push(name))
          ),
          { startImmediately: true }
        )
      yield* sleep("noticed", 10)
      yield* sleep("late", 50)
      yield* Effect.yieldNow
      now = 10
      wake()
      // Others have their turn between a poll and the timers.
      now = 110
      yield* Effect.yieldNow
      assert.deepStrictEqual(log, ["noticed"])
      yield* Effect.replicateEffect(Effect.yieldNow, 3)
      assert.deepStrictEqual(log, ["noticed", "late"])
    })
  )

  it.effect("leaves a quarter of its time at least, wherever the busy stretch was, and once", () =>
    Effect.gen(function* () {
      for (const [from, to, expires] of [
        // On time for all that is left.
        [100, 300, 1000],
        [100, 900, 1150],
        [100, 5000, 5250],
        [900, 5000, 5250],
        // Too little to matter.
        [990, 1010, 1010]
      ] as const) {
        const { beBusy, deadline, log, timers } = yield* opened
        const start = timers.now()
        deadline("end").set(start + 1000)
        yield* TestClock.adjust(from)
        beBusy(to - from)
        yield* TestClock.adjust(2000)
        const [, at = "none"] = log[0]?.split(" ") ?? []
        assert.isAtLeast(Number(at) - start, expires)
        assert.isAtMost(Number(at) - start, expires + 260)
      }
    })
  )

  it.effect("expires although the thread is busy again and again", () =>
    Effect.gen(function* () {
      const { beBusy, deadline, log, timers } = yield* opened
      deadline("end").set(1000)
      for (let i = 0; log.length === 0 && i < 10; i++) {
        yield* TestClock.adjust(250)
        beBusy(1000)
      }
      assert.isAtMost(timers.now(), 8000)
      assert.strictEqual(log.length, 1)
    })
  )

  it.effect("may be set anew as if nothing had been", () =>
    Effect.gen(function* () {
      const { beBusy, deadline, log, timers } = yield* opened
      const end = deadline("end")
      end.set(1000)
      yield* TestClock.adjust(100)
      beBusy(10_000)
      end.set(timers.now() + 1000)
      yield* TestClock.adjust(999)
      assert.deepStrictEqual(log, [])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(log, ["end 11100"])
    })
  )
})

describe("within", () => {
  it.effect("is the effect if it ends in time, and leaves no timer", () =>
    Effect.gen(function* () {
      const { timers } = yield* open
      const slow = Effect.delay(Effect.succeed("in time"), 99)
      const fiber = yield* Effect.forkChild(timers.within(slow, 100, () => Effect.succeed("late")))
      yield* TestClock.adjust(99)
      assert.strictEqual(yield* Fiber.join(fiber), "in time")
      assert.strictEqual(timers.size, 0)
    })
  )

  it.effect("interrupts the effect otherwise", () =>
    Effect.gen(function* () {
      const { timers } = yield* open
      let interrupted = false
      const slow = Effect.onInterrupt(Effect.never, () =>
        Effect.sync(() => {
          interrupted = true
        })
      )
      const fiber = yield* Effect.forkChild(timers.within(slow, 100, () => Effect.fail("late")))
      yield* TestClock.adjust(99)
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* Effect.flip(Fiber.join(fiber)), "late")
      assert.isTrue(interrupted)
    })
  )

  it.effect("without a limit sets no timer", () =>
    Effect.gen(function* () {
      const { timers } = yield* open
      const fiber = yield* Effect.forkChild(
        timers.within(Effect.never, never, () => Effect.void),
        {
          startImmediately: true
        }
      )
      assert.strictEqual(timers.size, 0)
      yield* Fiber.interrupt(fiber)
    })
  )
})

describe("timers that are cleared", () => {
  it.effect("leave nothing behind, although no time passes", () =>
    Effect.gen(function* () {
      const { timers } = yield* open
      const keeps = timers.deadline(() => {})
      keeps.set(3_600_000)
      for (let i = 0; i < 1000; i++) {
        const deadline = timers.deadline(() => {})
        deadline.set(3_600_000 + i)
        deadline.set(60_000)
        deadline.clear()
        const fiber = yield* Effect.forkChild(timers.sleepUntil(i % 2 === 0 ? never : 3_600_000 - i), {
          startImmediately: true
        })
        yield* Fiber.interrupt(fiber)
      }
      assert.strictEqual(timers.size, 1)
    })
  )
})

describe("a wall clock that is set", () => {
  for (const [how, by] of [
    ["forward", Duration.hours(1)],
    ["back", Duration.hours(-1)]
  ] as const) {
    it.effect(`${how} fires nothing and delays nothing`, () =>
      Effect.gen(function* () {
        const { clock, setWall } = yield* watchedClock
        const { deadline, log, set, timers } = yield* Effect.provideService(open, Clock.Clock, clock)
        const putOff = deadline("put off")
        set("before", 1000)
        putOff.set(500)
        yield* TestClock.adjust(400)
        setWall(by)
        assert.strictEqual(timers.now(), 400)
        set("after", 1200)
        putOff.set(900)
        yield* TestClock.adjust(499)
        assert.deepStrictEqual(log, [])
        yield* TestClock.adjust(1)
        assert.deepStrictEqual(log, ["put off 900"])
        yield* TestClock.adjust(1000)
        assert.deepStrictEqual(log, ["put off 900", "before 1000", "after 1200"])
      })
    )
  }
})

describe("a sleep", () => {
  it.effect("ends at its time", () =>
    Effect.gen(function* () {
      const timers = yield* Timers.make
      const fiber = yield* Effect.forkChild(timers.sleepUntil(50), { startImmediately: true })
      yield* TestClock.adjust(49)
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust(1)
      yield* Fiber.join(fiber)
    })
  )

  it.effect("that is interrupted leaves the others alone", () =>
    Effect.gen(function* () {
      const timers = yield* Timers.make
      const [first, second] = yield* Effect.replicateEffect(
        Effect.forkChild(timers.sleepUntil(50), { startImmediately: true }),
        2
      )
      if (first === undefined || second === undefined) return assert.fail()
      yield* Fiber.interrupt(first)
      yield* TestClock.adjust(50)
      yield* Fiber.join(second)
    })
  )
})

describe("timers", () => {
  it.effect("fire nothing once their scope is closed", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { log, set } = yield* Scope.provide(open, scope)
      set("a", 10)
      yield* Scope.close(scope, Exit.void)
      set("b", 20)
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(log, [])
    })
  )

  it.effect("are shared where some are provided, and the scope's own otherwise", () =>
    Effect.gen(function* () {
      const shared = yield* Timers.make
      assert.strictEqual(yield* Effect.provideService(Timers.use, Timers.Shared, shared), shared)
      assert.notStrictEqual(yield* Timers.use, yield* Timers.use)
    })
  )
})
