import { assert, describe, it } from "@effect/vitest"
import * as Exhaustion from "../../src/process/Exhaustion.ts"

const ready: Exhaustion.Usage = { mapped: 1300, resident: 100 }

const counted = (...usages: ReadonlyArray<readonly [mapped: number, resident: number]>): number =>
  usages.reduce((before, [mapped, resident]) => Exhaustion.count(before, ready, { mapped, resident }, 800), 0)

describe("a process that may take 800 more", () => {
  it("is exhausted if most of that is mapped and little is resident", () => {
    assert.strictEqual(counted([2090, 250], [2090, 250], [2000, 400]), 3)
  })

  it("is not if it uses what it has, has room, or gave it back meanwhile", () => {
    assert.strictEqual(counted([2090, 600]), 0)
    assert.strictEqual(counted([1800, 150]), 0)
    assert.strictEqual(counted([2090, 250], [1400, 250], [2090, 250]), 1)
  })
})
