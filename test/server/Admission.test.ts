import { assert, describe, it } from "@effect/vitest"
import { Admission } from "../../src/server/Admission.ts"

describe("an admission", () => {
  const make = () => new Admission({ maxConnections: 2, maxRefusals: 1 })

  it("serves as many as it may, refuses some, and drops the rest", () => {
    const admission = make()
    const places = Array.from({ length: 4 }, () => admission.enter())
    assert.deepStrictEqual(places, ["served", "served", "refused", undefined])
  })

  it("serves again when one that was served leaves, and refuses again when one that was refused does", () => {
    const admission = make()
    for (let i = 0; i < 4; i++) admission.enter()
    admission.leave("served")
    assert.deepStrictEqual([admission.enter(), admission.enter()], ["served", undefined])
    admission.leave("refused")
    assert.deepStrictEqual([admission.enter(), admission.enter()], ["refused", undefined])
  })

  it("lets nobody in once it is closed", () => {
    const admission = make()
    admission.close()
    assert.isUndefined(admission.enter())
  })
})
