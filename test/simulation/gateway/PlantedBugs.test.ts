/**
 * The simulation of a gateway finds bugs that are planted in the code, and makes their scenarios small.
 */
import { assert, describe, it } from "@effect/vitest"
import { afterEach, vi } from "vitest"
import type * as ClientFailure from "../../../src/client/ClientFailure.ts"
import type * as ClientSession from "../../../src/client/ClientSession.ts"
import type * as Requests from "../../../src/client/Requests.ts"
import type * as Access from "../../../src/gateway/Access.ts"
import type * as Conversations from "../../../src/gateway/Conversations.ts"
import type * as Instance from "../../../src/gateway/Instance.ts"
import type * as QueryLog from "../../../src/gateway/QueryLog.ts"
import type * as ClientMachine from "../../../src/protocol/ClientMachine.ts"
import { some } from "../../support/Long.ts"
import * as Shrinking from "../Shrinking.ts"
import type { Outcome } from "../Subject.ts"
import { bugs, type Planted } from "./Bugs.ts"
import * as Simulation from "./Simulation.ts"

const { planted, sound } = vi.hoisted(() => {
  const same = <A>(real: A): A => real
  const sound: Planted = {
    broken: same,
    machine: same,
    session: same,
    requests: same,
    instance: same,
    leastBusy: same,
    conversations: same,
    access: same,
    log: same
  }
  return { planted: { ...sound }, sound }
})

/** The class as it is planted when an object of it is made. */
const { changed } = vi.hoisted(() => {
  type Class = new (...args: never) => object
  const changed = <C extends Class>(real: C, change: () => (real: C) => C): C =>
    new Proxy(real, { construct: (Real, args) => Reflect.construct(change()(Real), args) })
  return { changed }
})

vi.mock("../../../src/client/ClientFailure.ts", async (original) => {
  const real = await original<typeof ClientFailure>()
  const duringResponse: typeof real.duringResponse = (...args) => planted.broken(real.duringResponse)(...args)
  return { ...real, duringResponse }
})

vi.mock("../../../src/protocol/ClientMachine.ts", async (original) => {
  const real = await original<typeof ClientMachine>()
  const step: typeof real.step = (state, event) => planted.machine(real.step)(state, event)
  return { ...real, step }
})

vi.mock("../../../src/client/ClientSession.ts", async (original) => {
  const real = await original<typeof ClientSession>()
  return { ...real, Session: changed(real.Session, () => planted.session) }
})

vi.mock("../../../src/client/Requests.ts", async (original) => {
  const real = await original<typeof Requests>()
  return { ...real, Requests: changed(real.Requests, () => planted.requests) }
})

vi.mock("../../../src/gateway/Instance.ts", async (original) => {
  const real = await original<typeof Instance>()
  const leastBusy: typeof real.leastBusy = (...args) => planted.leastBusy(real.leastBusy)(...args)
  return { ...real, leastBusy, Instance: changed(real.Instance, () => planted.instance) }
})

vi.mock("../../../src/gateway/Conversations.ts", async (original) => {
  const real = await original<typeof Conversations>()
  return { ...real, Conversations: changed(real.Conversations, () => planted.conversations) }
})

vi.mock("../../../src/gateway/Access.ts", async (original) => {
  const real = await original<typeof Access>()
  return { ...real, Access: changed(real.Access, () => planted.access) }
})

vi.mock("../../../src/gateway/QueryLog.ts", async (original) => {
  const real = await original<typeof QueryLog>()
  const ended: typeof real.ended = (...args) => planted.log(real.ended)(...args)
  return { ...real, ended }
})

const mostSeeds = 300
const mostRuns = 25

/** What comes of the first seed that fails. */
const find = (): Outcome => {
  for (let seed = 1; seed <= mostSeeds; seed++) {
    const outcome = Simulation.run(seed)
    if (outcome.failures.length > 0) return outcome
  }
  return assert.fail(`not found with ${mostSeeds} seeds`)
}

describe("a simulated gateway", () => {
  afterEach(() => {
    Object.assign(planted, sound)
  })

  for (const { found, name, plant } of some(bugs, 6)) {
    it(`shows when ${name}`, { timeout: 60_000 }, () => {
      Object.assign(planted, plant)
      const outcome = find()
      let runs = 0
      const given = { variation: Simulation.asItIs, outcome }
      const small = Shrinking.shrink(Simulation.subject, given, () => ++runs > mostRuns)
      const [failure = ""] = outcome.failures
      const lines = `${outcome.transcript.length} lines, ${small.outcome.transcript.length} when shrunk`
      console.log(`${name}: seed ${outcome.seed} of at most ${mostSeeds}, ${lines}: ${failure}`)

      assert.match(failure, found)
      assert.include(small.outcome.failures.map(Shrinking.kind), Shrinking.kind(failure))
      assert.isAtMost(small.outcome.transcript.length, outcome.transcript.length)
      assert.strictEqual(Simulation.run(outcome.seed, small.variation).hash, small.outcome.hash)
    })
  }
})
