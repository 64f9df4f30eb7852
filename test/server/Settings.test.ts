import { assert, describe, it } from "@effect/vitest"
import * as Settings from "../../src/server/Settings.ts"

describe("the limits of a connection", () => {
  it("are one object for all that have the same settings", () => {
    assert.strictEqual(Settings.limits(Settings.defaults), Settings.limits(Settings.defaults))
  })

  it("are those of its own settings", () => {
    const settings = { ...Settings.defaults, queryTimeout: "7 seconds" } as const
    assert.strictEqual(Settings.limits(settings).queryTimeoutMillis, 7000)
    assert.notStrictEqual(Settings.limits(settings), Settings.limits(Settings.defaults))
  })

  it.each(Object.keys(Settings.defaults))("name what is none: %s", (name) => {
    for (const value of [Number.NaN, -1, 0]) {
      assert.throws(
        () => Settings.limits({ ...Settings.defaults, [name]: value }),
        RangeError,
        new RegExp(`^${name} must be (a|one of) .*, got ${value}$`)
      )
    }
  })
})
