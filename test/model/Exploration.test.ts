import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Message from "../../src/protocol/Message.ts"
import { isLong, some } from "../support/Long.ts"
import * as Explore from "./Explore.ts"
import * as HostileServer from "./HostileServer.ts"
import * as Model from "./Model.ts"
import { type Mutant, mutants, takeWith } from "./Mutants.ts"
import { type Bounds, copy, type Machines, machines, showResponse } from "./State.ts"

const conforming: Bounds = {
  requests: isLong ? 3 : 2,
  long: 1,
  chunks: 2,
  prefetchSize: 8,
  batchSize: 1,
  heartbeats: isLong ? 1 : 0,
  commits: true,
  expiries: 1,
  toServer: 4,
  toClient: 2,
  hostile: 0,
  alphabet: ""
}

/** Two requests suffice for every rule about what one leaves for the next. */
const small: Bounds = {
  ...conforming,
  requests: 2,
  chunks: 1,
  toServer: 3,
  toClient: 1
}

/** Most mutants are found within one request, which is searched in no time. */
const tiny: Bounds = { ...small, requests: 1, heartbeats: 0, toServer: 2 }

/** A response that has no room for a second chunk. */
const full: Bounds = { ...tiny, long: 0, chunks: 2, prefetchSize: 7, expiries: 0 }

const hostile: Bounds = {
  ...small,
  requests: 0,
  long: 0,
  batchSize: 64,
  heartbeats: 0,
  toServer: 2,
  hostile: isLong ? 3 : 2,
  alphabet: "RLCAJIFEKHX"
}

/** Longer conversations of what a client may send, at any time. */
const impatient: Bounds = { ...hostile, hostile: isLong ? 6 : 4, alphabet: "RC" }

const explore = (given: Machines, bounds: Bounds): Explore.Outcome =>
  Explore.run(Model.make({ machines: given, bounds, client: bounds.hostile > 0 ? "hostile" : "conforming" }))

const exploreClient = (given: Machines): Explore.Outcome => Explore.run(HostileServer.make(given))

const outcomes: Array<Explore.Outcome> = []

/** An exploration that stops at once would find nothing: it has to see this many states and transitions. */
interface Least {
  readonly states: number
  readonly transitions: number
}

/** How much of it is seen within the smaller bounds of a quick run. */
const leastShare = 0.1

const holds = (name: string, least: Least, search: () => Explore.Outcome): void => {
  it(name, { timeout: 120_000 }, () => {
    const outcome = search()
    outcomes.push(outcome)
    assert.isUndefined(outcome.violation, outcome.violation?.transcript)
    const share = isLong ? 1 : leastShare
    assert.isAtLeast(outcome.states, share * least.states)
    assert.isAtLeast(outcome.transitions, share * least.transitions)
    assert.isAbove(outcome.ends, 0)
  })
}

describe("the protocol holds", () => {
  holds("between the two machines", { states: 150_000, transitions: 2_000_000 }, () =>
    explore(machines, conforming)
  )
  holds("for a client that sends anything", { states: 100_000, transitions: 800_000 }, () =>
    explore(machines, hostile)
  )
  holds("for a client that waits for nothing", { states: 80_000, transitions: 700_000 }, () =>
    explore(machines, impatient)
  )
  // All that the client's machine can be in, with every message and wish.
  holds("for a server that sends anything", { states: 6, transitions: 78 }, () => exploreClient(machines))

  afterAll(() => {
    const { states, transitions } = Explore.total(outcomes)
    console.log(`The protocol's machines: ${states} states, ${transitions} transitions explored`)
  })
})

/** What the first search that finds something finds: those that find most come first, the longest last. */
const caught = (given: Machines): Explore.Violation | undefined =>
  exploreClient(given).violation ??
  explore(given, tiny).violation ??
  explore(given, { ...hostile, alphabet: "RLCHX" }).violation ??
  explore(given, full).violation ??
  explore(given, small).violation

type Act = (given: Machines) => unknown

interface Asked {
  /** What the machines are asked, by the rule that decides it. */
  readonly rules: ReadonlyMap<string, ReadonlyMap<string, Act>>
  readonly violation: Explore.Violation | undefined
}

/** The searches for mutants in the real machines. */
const ask = (): Asked => {
  const rules = new Map<string, Map<string, Act>>()
  const note = (rule: string, [state, event]: readonly [unknown, unknown], act: Act) => {
    const acts = rules.get(rule) ?? new Map<string, Act>()
    rules.set(rule, acts.set(JSON.stringify([state, event]), act))
  }
  const step: Machines["step"] = (state, event) => {
    note(`server: ${event._tag} in ${state._tag}`, [state, event], (given) => given.step(state, event))
    return machines.step(state, event)
  }
  const take = takeWith(step)
  const violation = caught({
    ...machines,
    step,
    take: (state, response, ...given) => {
      const before = copy(response)
      note(`take: in ${state._tag}`, [state, showResponse(response)], (all) =>
        all.take(state, copy(before), ...given)
      )
      const taken = take(state, response, ...given)
      assert.deepStrictEqual(taken, machines.take(state, copy(before), ...given))
      return taken
    },
    client: (state, event) => {
      const what = event._tag === "Received" ? Message.letter(event.type) : event._tag
      note(`client: ${what} in ${state._tag}`, [state, event], (given) => given.client(state, event))
      return machines.client(state, event)
    }
  })
  return { rules, violation }
}

let asked: Asked | undefined

describe("the exploration", () => {
  it("finds nothing in the real machines where it looks for mutants", { timeout: 120_000 }, () => {
    asked ??= ask()
    assert.isUndefined(asked.violation?.transcript)
  })

  it("tells of what it finds by a shortest transcript", () => {
    const mutant = mutants.find(({ name }) => name === "server: forgets the stale cancel after a response")
    const { broken, steps = 0, transcript = "" } = caught(mutant?.machines ?? machines) ?? {}
    assert.strictEqual(broken, "C is cut off in Ready")
    assert.deepStrictEqual(
      transcript.split("\n").map((line) => line.split(" → ")[0]),
      [
        "at first",
        "client sends R",
        "client sends C",
        "server reads R1",
        "engine rejects",
        "query's finalizers have run",
        "server writes",
        "server reads C1",
        "✗ C is cut off in Ready"
      ]
    )
    assert.strictEqual(steps, 7)
  })
})

describe("the exploration catches the mutant", () => {
  it("of every name", () => {
    assert.strictEqual(new Set(mutants.map(({ name }) => name)).size, mutants.length)
    assert.isAtLeast(mutants.length, 220)
  })

  it("of every rule that a search comes to", { timeout: 120_000 }, () => {
    const differs = (act: Act) => (mutant: Mutant) =>
      JSON.stringify(act(mutant.machines)) !== JSON.stringify(act(machines))
    asked ??= ask()
    const rules = [...asked.rules]
    assert.isAtLeast(rules.length, 140)
    const without = rules.filter(([, acts]) => ![...acts.values()].some((act) => mutants.some(differs(act))))
    assert.deepStrictEqual(
      without.map(([rule]) => rule),
      []
    )
  })

  for (const mutant of some(mutants, 10)) {
    it(mutant.name, () => {
      assert.isDefined(caught(mutant.machines))
    })
  }
})
