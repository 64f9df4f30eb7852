import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as RemoteAddress from "../../src/net/RemoteAddress.ts"
import { Admission, type Place } from "../../src/server/Admission.ts"

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

  it("takes other limits, and those who are in stay", () => {
    const admission = make()
    admission.enter()
    admission.enter()
    admission.reload({ maxConnections: 3, maxRefusals: 1 })
    assert.deepStrictEqual([admission.enter(), admission.enter()], ["served", "refused"])
    admission.reload({ maxConnections: 1, maxRefusals: 1 })
    admission.leave("served")
    admission.leave("served")
    assert.strictEqual(admission.limit(), "maxConnections")
    admission.leave("served")
    assert.strictEqual(admission.enter(), "served")
  })

  it("lets nobody in once it is closed", () => {
    const admission = make()
    admission.close()
    assert.isUndefined(admission.enter())
  })
})

describe("an admission with a limit per address", () => {
  const make = () => new Admission({ maxConnections: 3, maxConnectionsPerAddress: 2, maxRefusals: 2 })

  it("refuses those beyond it, says which setting keeps them out, and serves other addresses", () => {
    const admission = make()
    const enter = (address: string) => [admission.limit(address), admission.enter(address)]
    assert.deepStrictEqual(enter("a"), [undefined, "served"])
    assert.deepStrictEqual(enter("a"), [undefined, "served"])
    assert.deepStrictEqual(enter("a"), ["maxConnectionsPerAddress", "refused"])
    assert.deepStrictEqual(enter("b"), [undefined, "served"])
    assert.deepStrictEqual(enter("b"), ["maxConnections", "refused"])
    assert.deepStrictEqual(enter("a"), ["maxConnectionsPerAddress", undefined])
  })

  it("leaves connections within the process to whoever makes them", () => {
    const admission = make()
    for (let i = 0; i < 3; i++) assert.strictEqual(admission.enter(RemoteAddress.internal), "served")
    assert.strictEqual(admission.limit(RemoteAddress.internal), "maxConnections")
  })

  it("counts an address's places and nobody else's, and none that it has left", () => {
    const admission = make()
    for (let i = 0; i < 3; i++) admission.enter("a")
    // One that was refused had no place.
    admission.leave("refused", "a")
    assert.strictEqual(admission.limit("a"), "maxConnectionsPerAddress")
    admission.leave("served", "a")
    assert.isUndefined(admission.limit("a"))
    admission.enter("b")
    admission.leave("served", "b")
    assert.strictEqual(admission.enter("a"), "served")
    assert.strictEqual(admission.limit("a"), "maxConnectionsPerAddress")
  })

  it("has nothing left of any address once all have left", () => {
    const operation = fc.record({ address: fc.constantFrom("a", "b", "c"), leaves: fc.boolean() })
    const limits = fc.record({
      maxConnections: fc.integer({ min: 1, max: 6 }),
      maxConnectionsPerAddress: fc.constantFrom(1, 2, Number.POSITIVE_INFINITY),
      maxRefusals: fc.nat(2)
    })
    fc.assert(
      fc.property(limits, fc.array(operation, { maxLength: 100 }), (limits, all) => {
        const admission = new Admission(limits)
        const inside: Array<{ readonly address: string; readonly place: Place }> = []
        const count = (place: Place, address?: string) =>
          inside.filter((each) => each.place === place && (address ?? each.address) === each.address).length
        for (const { address, leaves } of all) {
          const place = leaves ? undefined : admission.enter(address)
          if (place !== undefined) inside.push({ address, place })
          const first = leaves ? inside.shift() : undefined
          if (first !== undefined) admission.leave(first.place, first.address)
          assert.isAtMost(count("served"), limits.maxConnections)
          assert.isAtMost(count("served", address), limits.maxConnectionsPerAddress)
          assert.isAtMost(count("refused"), limits.maxRefusals)
        }
        for (const { address, place } of inside) admission.leave(place, address)
        const most = Math.min(limits.maxConnections, limits.maxConnectionsPerAddress)
        for (let i = 0; i < most; i++) assert.strictEqual(admission.enter("a"), "served")
      })
    )
  })
})
