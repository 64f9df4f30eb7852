import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { isLong } from "../support/Long.ts"
import * as Storm from "./Storm.ts"

describe.runIf(isLong && process.platform === "linux")(
  "a server whose processes are killed and stopped",
  () => {
    it.live(
      "tells the truth, goes on, and leaves nothing",
      () =>
        Effect.gen(function* () {
          const { answers, killed, stopped, wrong } = yield* Storm.run({
            millis: 4000,
            seed: 2,
            engines: 2,
            clients: 4
          })
          assert.deepStrictEqual(wrong, [], JSON.stringify(answers))
          assert.isAbove(killed + stopped, 0)
          assert.isAbove(answers["whole"] ?? 0, 0)
        }),
      120_000
    )
  }
)
