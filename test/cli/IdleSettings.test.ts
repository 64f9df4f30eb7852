import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ConfigSources from "../../src/cli/ConfigSources.ts"
import * as ServeConfig from "../../src/cli/ServeConfig.ts"
import * as GatewayConfig from "../../src/gateway/GatewayConfig.ts"
import * as Setting from "../../src/server/Setting.ts"

/** What a server says of flags, or `undefined` if it takes them. */
const complaint = (given: Readonly<Record<string, unknown>>): Effect.Effect<string | undefined> =>
  ConfigSources.load(ServeConfig.config, {
    given,
    file: Option.none(),
    known: ServeConfig.known,
    idle: ServeConfig.idle
  }).pipe(
    Effect.as(undefined),
    Effect.catch(({ message }) => Effect.succeed(message))
  )

describe("a flag of serve that has no effect", () => {
  const ofProcesses = {
    engines: "3",
    engineMemory: "1 GiB",
    cancelGrace: "1s",
    engineSilence: "1s",
    engineStartTimeout: "1s"
  }
  const http = Object.fromEntries(
    Object.entries(GatewayConfig.settings).map(([name, { fallback, fallbackText }]) => [
      name,
      fallback === undefined ? "*" : fallbackText
    ])
  )

  it.effect("is refused by its name and by that of the reason", () =>
    Effect.gen(function* () {
      for (const [name, value] of Object.entries(ofProcesses)) {
        for (const isolate of ["none", "thread"]) {
          assert.match(
            (yield* complaint({ isolate, [name]: value })) ?? "",
            new RegExp(`^--[a-z-]+: has no effect where --isolate is ${isolate}$`)
          )
        }
      }
      for (const [name, value] of Object.entries(http)) {
        assert.match(
          (yield* complaint({ [name]: value })) ?? "",
          /^--[a-z-]+: has no effect without --http$/,
          name
        )
      }
      assert.strictEqual(
        yield* complaint({ socketMode: "0660" }),
        "--socket-mode: has no effect without the address of a Unix socket (unix:PATH)"
      )
    })
  )

  it.effect("is taken where it has one", () =>
    Effect.gen(function* () {
      assert.isUndefined(yield* complaint({ isolate: "process", ...ofProcesses }))
      assert.isUndefined(yield* complaint({ http: ["127.0.0.1:8080"], ...http }))
      assert.isUndefined(yield* complaint({ listen: ["unix:/run/a"], socketMode: "0660" }))
      assert.isUndefined(yield* complaint({ http: ["unix:/run/a"], socketMode: "0660" }))
      // By default, DuckDB is in processes of its own.
      assert.strictEqual(Setting.defaults(ServeConfig.settings).isolate, "process")
      assert.isUndefined(yield* complaint(ofProcesses))
    })
  )
})
