import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { Hold, Quota } from "../../src/server/RequestQuota.ts"

describe("a quota", () => {
  it("takes all of what is asked for, or nothing", () => {
    const quota = new Quota(10)
    assert.isTrue(quota.take(7))
    assert.isFalse(quota.take(4))
    assert.strictEqual(quota.used, 7)
    assert.isTrue(quota.take(3))
    quota.give(10)
    assert.strictEqual(quota.used, 0)
  })

  it("may be infinite", () => {
    assert.isTrue(new Quota(Number.POSITIVE_INFINITY).take(Number.MAX_SAFE_INTEGER))
  })
})

describe("a hold", () => {
  it("stays as it is when more does not fit, and shrinks whatever others hold", () => {
    const quota = new Quota(10)
    const [one, other] = [new Hold(quota), new Hold(quota)]
    assert.isTrue(one.resize(6))
    assert.isFalse(other.resize(5))
    assert.isFalse(one.resize(11))
    assert.strictEqual(quota.used, 6)
    assert.isTrue(one.resize(2))
    assert.isTrue(other.resize(5))
    assert.strictEqual(quota.used, 7)
  })

  it("is given back exactly once", () => {
    const quota = new Quota(10)
    const [one, other] = [new Hold(quota), new Hold(quota)]
    other.resize(3)
    one.resize(6)
    one.release()
    one.release()
    assert.strictEqual(quota.used, 3)
  })

  it("is one of many, which never hold more than the limit and nothing once all are released", () => {
    const operation = fc.record({ who: fc.nat(9), bytes: fc.oneof(fc.constant(0), fc.nat(40)) })
    fc.assert(
      fc.property(fc.nat(100), fc.array(operation, { maxLength: 200 }), (limit, all) => {
        const quota = new Quota(limit)
        const holds = Array.from({ length: 10 }, () => ({ hold: new Hold(quota), bytes: 0 }))
        const sum = () => holds.reduce((total, { bytes }) => total + bytes, 0)
        for (const { bytes, who } of all) {
          const own = holds[who]
          if (own === undefined) continue
          const fits = sum() - own.bytes + bytes <= limit
          assert.strictEqual(own.hold.resize(bytes), fits || bytes <= own.bytes)
          if (fits || bytes <= own.bytes) own.bytes = bytes
          assert.strictEqual(quota.used, sum())
          assert.isAtMost(quota.used, limit)
        }
        for (const { hold } of holds) hold.release()
        assert.strictEqual(quota.used, 0)
      })
    )
  })
})
