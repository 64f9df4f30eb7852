import { assert, describe, it } from "@effect/vitest"
import * as Lifecycle from "../../src/process/Lifecycle.ts"

const options: Lifecycle.Options = {
  silentTicks: 2,
  maxMissed: 3,
  maxStartTicks: 2,
  maxRetireTicks: 2,
  shortLifeMillis: 1000,
  firstDelayMillis: 100,
  longestDelayMillis: 500
}

/** The actions that follow from events, and the state in the end. */
const run = (events: ReadonlyArray<Lifecycle.Event>, from: Lifecycle.State = Lifecycle.initial) => {
  let state = from
  const actions: Array<string> = []
  for (const event of events) {
    const [next, action] = Lifecycle.step(state, event, options)
    state = next
    if (action._tag === "Restart") actions.push(`Restart ${action.delayMillis}`)
    else if (action._tag !== "None") actions.push(action._tag)
  }
  return { actions, state }
}

const start: Lifecycle.Event = { _tag: "Start" }
const tick: Lifecycle.Event = { _tag: "Tick", isIdle: false }
const idleTick: Lifecycle.Event = { _tag: "Tick", isIdle: true }
const retire: Lifecycle.Event = { _tag: "Retire" }
const beat: Lifecycle.Event = { _tag: "Beat" }
const close: Lifecycle.Event = { _tag: "Close" }
const ready = (now: number): Lifecycle.Event => ({ _tag: "Ready", now })
const exited = (now: number): Lifecycle.Event => ({ _tag: "Exited", now })
const times = (n: number, ...events: ReadonlyArray<Lifecycle.Event>) =>
  Array.from({ length: n }, () => events).flat()

describe("a process", () => {
  it("that gives signs of life is left alone, and killed once when it gives none", () => {
    assert.deepStrictEqual(run([start, ready(0), ...times(50, tick, beat)]).actions, ["Launch", "Announce"])
    const { actions, state } = run([start, ready(0), ...times(20, tick)])
    assert.deepStrictEqual(actions, ["Launch", "Announce", "Kill"])
    assert.deepStrictEqual(state, { _tag: "Ending", since: 0, why: { _tag: "Silent" }, shortLives: 0 })
  })

  it("that is silent for a while is so until it gives a sign of life, which is announced", () => {
    const { state } = run([start, ready(0), tick, tick])
    assert.isTrue(Lifecycle.isSilent(state, options))
    const after = run([tick, beat, beat], state)
    assert.deepStrictEqual(after.actions, ["Announce"])
    assert.isFalse(Lifecycle.isSilent(after.state, options))
  })

  it("that is to be replaced takes no queries, and ends when none runs in it, or late", () => {
    const { state } = run([start, ready(0), idleTick, beat, retire, tick, beat, retire, tick, beat])
    assert.strictEqual(state._tag, "Ready")
    assert.isFalse(Lifecycle.takesQueries(state, options))
    assert.isTrue(Lifecycle.takesQueries(run([start, ready(0)]).state, options))
    const exhausted: Lifecycle.State = { _tag: "Ending", since: 0, why: { _tag: "Exhausted" }, shortLives: 0 }
    assert.deepStrictEqual(run([tick], state).state, exhausted)
    const soon = run([start, ready(0), retire, idleTick, exited(9999)])
    assert.deepStrictEqual(soon.actions, ["Launch", "Announce", "Kill", "Restart 0"])
  })

  it("that is not ready in time is killed", () => {
    assert.deepStrictEqual(run([start, tick, tick, tick, tick]).actions, ["Launch", "Kill"])
  })

  it("is replaced at once, and later each time that it has lived shortly", () => {
    const lives = (n: number, length: number) =>
      Array.from({ length: n }, (_, i) => [start, ready(i * 9999), exited(i * 9999 + length)]).flat()
    const restarts = ({ actions }: ReturnType<typeof run>) =>
      actions.filter((action) => action.startsWith("Restart"))
    assert.deepStrictEqual(
      restarts(run(lives(6, 10))),
      [0, 100, 200, 400, 500, 500].map((n) => `Restart ${n}`)
    )
    assert.deepStrictEqual(restarts(run(lives(3, 1000))), ["Restart 0", "Restart 0", "Restart 0"])
    const { state } = run(lives(4, 10))
    assert.deepStrictEqual(restarts(run(lives(1, 5000), state)), ["Restart 0"])
  })

  it("is asked to end, killed if it does not, and not replaced", () => {
    const { actions, state } = run([start, ready(0), close, { _tag: "CloseExpired" }, exited(1), start])
    assert.deepStrictEqual(actions, ["Launch", "Announce", "Ask", "Kill", "Over"])
    assert.deepStrictEqual(state, { _tag: "Closed" })
    assert.deepStrictEqual(run([start, close, exited(1)]).actions, ["Launch", "Kill", "Over"])
    assert.deepStrictEqual(run([close, start, exited(1)]).actions, ["Over"])
  })

  it("that is being killed when nobody needs it any more is not replaced either", () => {
    const lost: Lifecycle.Event = { _tag: "End", why: { _tag: "Disconnected" } }
    assert.deepStrictEqual(run([start, ready(0), lost, close, exited(1)]).actions, [
      "Launch",
      "Announce",
      "Kill",
      "Over"
    ])
  })

  it("cannot be led into two processes at a time, whatever comes in which order", () => {
    const events: ReadonlyArray<Lifecycle.Event> = [
      start,
      ready(5),
      beat,
      tick,
      idleTick,
      retire,
      { _tag: "End", why: { _tag: "Disconnected" } },
      { _tag: "End", why: { _tag: "CancelIgnored" } },
      exited(9),
      close,
      { _tag: "CloseExpired" }
    ]
    const seen = new Set<string>()
    const visit = (state: Lifecycle.State, hasProcess: boolean, isOver: boolean) => {
      const key = JSON.stringify([state, hasProcess, isOver])
      if (seen.has(key)) return
      seen.add(key)
      for (const event of events) {
        // Only a process that is there can exit.
        if (event._tag === "Exited" && !hasProcess) continue
        const [next, action] = Lifecycle.step(state, event, { ...options, maxMissed: 1, maxStartTicks: 1 })
        const bounded = "shortLives" in next ? { ...next, shortLives: Math.min(next.shortLives, 2) } : next
        if (action._tag === "Launch") assert.isFalse(hasProcess || isOver)
        if (action._tag === "Kill" || action._tag === "Ask") assert.isTrue(hasProcess)
        const over = isOver || action._tag === "Over"
        const has = action._tag === "Launch" || (hasProcess && event._tag !== "Exited")
        if (over) assert.isFalse(has)
        visit(bounded, has, over)
      }
    }
    visit(Lifecycle.initial, false, false)
    assert.isAbove(seen.size, 10)
  })
})
