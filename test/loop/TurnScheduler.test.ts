import { assert, describe, it } from "@effect/vitest"
import type { Scheduler as EffectScheduler } from "effect/Scheduler"
import { Scheduler, type Task } from "../../src/loop/TurnScheduler.ts"

/** Turns of an event loop that the test makes. */
const makeLoop = () => {
  const tasks: Array<() => void> = []
  const effects: EffectScheduler = {
    executionMode: "async",
    shouldYield: () => false,
    makeDispatcher: () => ({ scheduleTask: (task) => void tasks.push(task), flush: () => {} })
  }
  const turn = () => {
    for (const task of tasks.splice(0)) task()
  }
  return { effects, tasks, turn }
}

const makeTask = (log: Array<string>, name: string, then?: () => void): Task => ({
  waits: false,
  behind: undefined,
  resume: () => {
    log.push(name)
    then?.()
  }
})

describe("the scheduler of turns", () => {
  it("resumes tasks in the next turn, in the order in which they came, and each once", () => {
    const { effects, tasks, turn } = makeLoop()
    const scheduler = new Scheduler()
    const log: Array<string> = []
    const [a, b, c] = ["a", "b", "c"].map((name) => makeTask(log, name)) as [Task, Task, Task]
    for (const task of [b, a, b, c, a]) scheduler.nextTurn(task, effects)
    assert.deepStrictEqual(log, [])
    turn()
    assert.deepStrictEqual(log, ["b", "a", "c"])
    assert.lengthOf(tasks, 0)
    scheduler.nextTurn(a, effects)
    turn()
    assert.deepStrictEqual(log, ["b", "a", "c", "a"])
  })

  it("has a quantum for each turn, of all tasks together, which the last one may overdraw", () => {
    const { effects, turn } = makeLoop()
    const scheduler = new Scheduler({ quantum: 10 })
    const log: Array<string> = []
    for (const name of ["a", "b", "c", "d"]) {
      scheduler.nextTurn(
        makeTask(log, name, () => scheduler.spend(name === "b" ? 100 : 6)),
        effects
      )
    }
    turn()
    assert.deepStrictEqual(log, ["a", "b"])
    assert.isTrue(scheduler.exhausted)
    turn()
    assert.deepStrictEqual(log, ["a", "b", "c", "d"])
    turn()
    assert.isTrue(scheduler.exhausted)
    scheduler.nextTurn(makeTask(log, "e"), effects)
    turn()
    assert.isFalse(scheduler.exhausted)
  })

  it("puts a task that comes again behind those that have waited, in a later turn", () => {
    const { effects, turn } = makeLoop()
    const scheduler = new Scheduler()
    const log: Array<string> = []
    const again: Task = makeTask(log, "again", () => scheduler.nextTurn(again, effects))
    scheduler.nextTurn(again, effects)
    scheduler.nextTurn(makeTask(log, "other"), effects)
    turn()
    assert.deepStrictEqual(log, ["again", "other"])
    turn()
    assert.deepStrictEqual(log, ["again", "other", "again"])
  })

  it("gives a task that gives way its turn after the others, as far as the quantum lasts", () => {
    const { effects, turn } = makeLoop()
    const scheduler = new Scheduler({ quantum: 10 })
    const log: Array<string> = []
    let left = 3
    const polite: Task = makeTask(log, "polite", () => {
      scheduler.spend(4)
      if (--left > 0) scheduler.giveWay(polite, effects)
    })
    scheduler.nextTurn(polite, effects)
    scheduler.nextTurn(makeTask(log, "other"), effects)
    turn()
    assert.deepStrictEqual(log, ["polite", "other", "polite", "polite"])
    left = 4
    scheduler.nextTurn(polite, effects)
    turn()
    assert.deepStrictEqual(log.slice(4), ["polite", "polite", "polite"])
    turn()
    assert.deepStrictEqual(log.slice(7), ["polite"])
  })

  it("does not wait for the next turn when many tasks wait, as far as the quantum lasts", async () => {
    const { effects, turn } = makeLoop()
    const scheduler = new Scheduler({ maxWaiting: 3, quantum: 10 })
    const log: Array<string> = []
    const add = (name: string) =>
      scheduler.nextTurn(
        makeTask(log, name, () => scheduler.spend(5)),
        effects
      )
    add("a")
    add("b")
    await Promise.resolve()
    assert.deepStrictEqual(log, [])
    add("c")
    assert.deepStrictEqual(log, [])
    await Promise.resolve()
    assert.deepStrictEqual(log, ["a", "b"])
    turn()
    assert.deepStrictEqual(log, ["a", "b", "c"])
  })

  it("has turns for those behind a task that throws", () => {
    const { effects, turn } = makeLoop()
    const scheduler = new Scheduler()
    const log: Array<string> = []
    const fail = () => {
      throw new Error("a defect")
    }
    scheduler.nextTurn(makeTask(log, "a", fail), effects)
    scheduler.nextTurn(makeTask(log, "b"), effects)
    assert.throws(turn, "a defect")
    turn()
    assert.deepStrictEqual(log, ["a", "b"])
  })

  it("cannot be one with which nobody could write", () => {
    for (const size of [0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      assert.throws(() => new Scheduler({ quantum: size }), /quantum must be a size of at least 1 B/)
      assert.throws(
        () => new Scheduler({ maxWriteSize: size }),
        /maxWriteSize must be a size of at least 1 B/
      )
      assert.throws(
        () => new Scheduler({ maxWaiting: size }),
        /maxWaiting must be a whole number of at least 1/
      )
    }
  })
})
