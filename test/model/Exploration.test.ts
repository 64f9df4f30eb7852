import { assert, describe, it } from "@effect/vitest"
import * as Explore from "./Explore.ts"
import * as HostileServer from "./HostileServer.ts"
import * as Model from "./Model.ts"
import { mutants } from "./Mutants.ts"
import { type Bounds, type Machines, machines } from "./State.ts"

const conforming: Bounds = {
  requests: 3,
  chunks: 2,
  heartbeats: 2,
  expiries: 2,
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
  heartbeats: 1,
  expiries: 1,
  toServer: 3,
  toClient: 1
}
/** Whatever can be sent. */
const rude: Bounds = {
  requests: 0,
  chunks: 1,
  heartbeats: 0,
  expiries: 1,
  toServer: 2,
  toClient: 1,
  hostile: 3,
  alphabet: "RCAJIFEKHX"
}
/** Longer conversations of what a client may send, at any time. */
const pushy: Bounds = { ...rude, hostile: 6, alphabet: "RC" }

const explore = (given: Machines, bounds: Bounds): Explore.Outcome =>
  Explore.run(Model.make({ machines: given, bounds, client: bounds.hostile > 0 ? "hostile" : "conforming" }))

const seen: Array<Explore.Outcome> = []

const holds = (name: string, least: number, outcome: () => Explore.Outcome): void => {
  it(name, () => {
    const at = process.cpuUsage().user
    const found = outcome()
    seen.push(found)
    console.log(
      name,
      found.states,
      found.transitions,
      found.ends,
      found.depth,
      (process.cpuUsage().user - at) / 1e6
    )
    assert.isUndefined(found.violation, found.violation?.transcript)
    // An exploration that stops at once has nothing to say.
    assert.isAbove(found.states, least)
    assert.isAbove(found.ends, 0)
  })
}

describe("the protocol", () => {
  holds("holds between the two machines", 100_000, () => explore(machines, conforming))
  holds("holds for a client that sends anything", 10_000, () => explore(machines, rude))
  holds("holds for a client that sends requests and cancels at any time", 10_000, () =>
    explore(machines, pushy)
  )
  holds("holds for a server that sends anything", 6, () => Explore.run(HostileServer.make(machines)))
})

/** The first search that finds something. */
const caught = (given: Machines): Explore.Violation | undefined =>
  explore(given, small).violation ??
  Explore.run(HostileServer.make(given)).violation ??
  explore(given, { ...rude, hostile: 3, alphabet: "RCHX" }).violation

describe("a mutant", () => {
  for (const mutant of mutants) {
    it(mutant.name, () => {
      const at = process.cpuUsage().user
      const found = caught(mutant.machines)
      console.log(mutant.name, "::", found?.broken, found?.steps, (process.cpuUsage().user - at) / 1e6)
      assert.isDefined(found)
    })
  }
})
