import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Client from "../../src/client/Client.ts"
import * as ClientPool from "../../src/client/ClientPool.ts"
import { defaults, poolDefaults } from "../../src/client/Settings.ts"
import * as Address from "../../src/net/Address.ts"
import { failure } from "../support/Failure.ts"

// Nothing listens there, and nothing is dialled.
const nowhere = Address.unix("/nowhere/at/all")

describe("a limit that is none", () => {
  it.effect.each(Object.keys(defaults))("is named by the client: %s", (name) =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(Client.connect(nowhere, { [name]: Number.NaN }))
      assert.match(failure(exit), new RegExp(`^RangeError: ${name} must be (a|one of) .*, got NaN$`))
    })
  )

  it.effect.each(Object.keys(poolDefaults))("is named by the pool: %s", (name) =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(ClientPool.connect(nowhere, { [name]: -1 }))
      assert.match(failure(exit), new RegExp(`^RangeError: ${name} must be (a|one of) .*, got -1$`))
    })
  )

  it.effect.each([0, 1.5, Number.POSITIVE_INFINITY])(
    "is named when it is maxConnections of %s",
    (maxConnections) =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(ClientPool.connect(nowhere, { maxConnections }))
        assert.match(failure(exit), /maxConnections must be a whole number of at least 1/)
      })
  )
})
