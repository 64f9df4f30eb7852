/**
 * The simulation of a gateway finds nothing in the code as it is, and does the same for the same seed.
 */
import { assert, describe, it } from "@effect/vitest"
import { isLong } from "../../support/Long.ts"
import * as Simulation from "./Simulation.ts"

const seeds = isLong ? 1000 : 25

describe("a simulated gateway", () => {
  it("does what its README says", { timeout: 120_000 }, () => {
    const wrong: Array<string> = []
    for (let seed = 1; seed <= seeds; seed++) {
      const { failures } = Simulation.run(seed)
      wrong.push(
        ...failures.map((failure) => `npm run simulate -- --gateway --seeds 1 --from ${seed}: ${failure}`)
      )
    }
    assert.deepStrictEqual(wrong, [])
  })

  it("with seed 606 no longer tells of a cancel where a stop came first", () => {
    assert.deepStrictEqual(Simulation.run(606).failures, [])
  })

  it("lives the same life for the same seed", () => {
    const hashes = () => Array.from({ length: 4 }, (_, i) => Simulation.run(1000 + i).hash)
    const lived = hashes()
    assert.deepStrictEqual(hashes(), lived)
    assert.strictEqual(new Set(lived).size, 4)
  })
})
