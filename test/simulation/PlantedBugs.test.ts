/**
 * The simulation finds bugs that are planted in the code, and makes their scenarios small.
 */
import { assert, describe, it } from "@effect/vitest"
import { afterEach, vi } from "vitest"
import type * as ClientMachine from "../../src/protocol/ClientMachine.ts"
import type * as Message from "../../src/protocol/Message.ts"
import type * as Response from "../../src/protocol/Response.ts"
import type * as ServerMachine from "../../src/protocol/ServerMachine.ts"
import type * as Admission from "../../src/server/Admission.ts"
import type * as Heartbeat from "../../src/server/Heartbeat.ts"
import type * as QueryLimit from "../../src/server/QueryLimit.ts"
import type * as Shutdown from "../../src/server/Shutdown.ts"
import { some } from "../support/Long.ts"
import { bugs, type Planted } from "./Bugs.ts"
import * as Reduction from "./Reduction.ts"
import * as Search from "./Search.ts"
import * as Shrinking from "./Shrinking.ts"
import * as Simulation from "./Simulation.ts"

const { planted, sound } = vi.hoisted(() => {
  const same = <A>(real: A): A => real
  const sound: Planted = {
    step: same,
    client: same,
    heartbeat: same,
    take: same,
    sent: same,
    admission: same,
    shutdown: same,
    limit: same
  }
  return { planted: { ...sound }, sound }
})

vi.mock("../../src/protocol/ServerMachine.ts", async (original) => {
  const real = await original<typeof ServerMachine>()
  const step: typeof real.step = (state, event) => planted.step(real.step)(state, event)
  return { ...real, step }
})

vi.mock("../../src/protocol/ClientMachine.ts", async (original) => {
  const real = await original<typeof ClientMachine>()
  const step: typeof real.step = (state, event) => planted.client(real.step)(state, event)
  return { ...real, step }
})

vi.mock("../../src/server/Heartbeat.ts", async (original) => {
  const real = await original<typeof Heartbeat>()
  type Given = ConstructorParameters<typeof real.Heartbeat>
  const construct = (Real: typeof real.Heartbeat, [writer, timers, millis]: Given) =>
    new Real(writer, timers, planted.heartbeat(millis))
  return { ...real, Heartbeat: new Proxy(real.Heartbeat, { construct }) }
})

vi.mock("../../src/protocol/Response.ts", async (original) => {
  const real = await original<typeof Response>()
  class Planted extends real.Response {
    private readonly offered: Array<Uint8Array> = []
    override offer(chunks: ReadonlyArray<Uint8Array>): void {
      this.offered.push(...chunks)
      super.offer(chunks)
    }
    override take(written: number): Array<Message.Message> {
      return planted.take(super.take(written))
    }
    override sent(): ReadonlyArray<Uint8Array> {
      return planted.sent(super.sent(), this.offered)
    }
  }
  return { ...real, Response: Planted }
})

vi.mock("../../src/server/Admission.ts", async (original) => {
  const real = await original<typeof Admission>()
  const construct = (Real: typeof real.Admission, [limits]: [Admission.Limits]) =>
    new (planted.admission(Real))(limits)
  return { ...real, Admission: new Proxy(real.Admission, { construct }) }
})

vi.mock("../../src/server/Shutdown.ts", async (original) => {
  const real = await original<typeof Shutdown>()
  const construct = (Real: typeof real.Shutdown) => new (planted.shutdown(Real))()
  return { ...real, Shutdown: new Proxy(real.Shutdown, { construct }) }
})

vi.mock("../../src/server/QueryLimit.ts", async (original) => {
  const real = await original<typeof QueryLimit>()
  const construct = (Real: typeof real.Limit, [options]: [QueryLimit.Options]) =>
    new (planted.limit(Real))(options)
  return { ...real, Limit: new Proxy(real.Limit, { construct }) }
})

const mostSeeds = 500
const mostRuns = 200

/** What comes of the first seed that fails. */
const find = (): Simulation.Outcome => {
  for (let seed = 1; seed <= mostSeeds; seed++) {
    const outcome = Simulation.run(seed)
    if (outcome.failures.length > 0) return outcome
  }
  return assert.fail(`not found with ${mostSeeds} seeds`)
}

const size = (seed: number, { without }: Simulation.Variation): number =>
  JSON.stringify(Reduction.apply(Simulation.scenario(seed), without)).length

describe("simulated servers", () => {
  afterEach(() => {
    Object.assign(planted, sound)
  })

  for (const { found, name, plant } of some(bugs, 3)) {
    it(`show when ${name}`, () => {
      Object.assign(planted, plant)
      const outcome = find()
      let runs = 0
      const small = Shrinking.shrink(
        Simulation.subject,
        { variation: Simulation.asItIs, outcome },
        () => ++runs > mostRuns
      )
      const [failure = ""] = outcome.failures
      const lines = `${outcome.transcript.length} lines, ${small.outcome.transcript.length} when shrunk`
      console.log(`${name}: seed ${outcome.seed} of at most ${mostSeeds}, ${lines}: ${failure}`)

      assert.match(failure, found)
      assert.include(small.outcome.failures.map(Shrinking.kind), Shrinking.kind(failure))
      assert.isBelow(size(outcome.seed, small.variation), size(outcome.seed, Simulation.asItIs))
      assert.strictEqual(Simulation.run(outcome.seed, small.variation).hash, small.outcome.hash)
    })
  }

  it("say how to see a failure again, and in how little it shows", () => {
    Object.assign(planted, bugs.at(-1)?.plant)
    const printed: Array<string> = []
    const { failed, ran } = Search.run({
      subject: Simulation.subject,
      from: 1,
      seeds: 100,
      millis: Number.POSITIVE_INFINITY,
      variation: Simulation.asItIs,
      mostKinds: 1,
      shrinkMillis: 1000,
      show: false,
      print: (line) => printed.push(line)
    })
    assert.strictEqual(ran, 100)
    assert.isAbove(failed, 0)
    const commands = printed.filter((line) => line.startsWith("npm run simulate"))
    const [, seed, without = "", order = "0", hash] =
      /--from (\d+) --show --without (\S+)(?: --order (\d+))? {3}\((\w+)\)/.exec(commands[1] ?? "") ?? []
    assert.strictEqual(commands[0], `npm run simulate -- --seeds 1 --from ${seed} --show`)
    const again = Simulation.run(Number(seed), { without: without.split(","), order: Number(order) })
    assert.strictEqual(again.hash, hash)
    assert.includeMembers(printed, [...Search.fold(again.transcript)])
    assert.match(again.transcript.join("\n"), /WRONG/)
  })
})
