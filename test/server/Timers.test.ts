/**
 * The timers that connections share, when connections have ended.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Timers from "../../src/loop/Timers.ts"
import type { Settings } from "../../src/server/Settings.ts"
import { accept, chunk, end } from "../../src/testing/StepEngine.ts"
import * as Served from "../support/Served.ts"

const never = Number.POSITIVE_INFINITY

/** Settings of which some leave the shared timers with nothing to do for a long time. */
const settings: Record<string, Partial<Settings>> = {
  defaults: {},
  "no heartbeats": { heartbeatInterval: never },
  "no limits": {
    heartbeatInterval: never,
    idleTimeout: never,
    firstRequestTimeout: never,
    queryTimeout: never,
    requestTimeout: never,
    writeTimeout: never
  }
}

describe("connections that have ended", () => {
  for (const [name, given] of Object.entries(settings)) {
    it.effect(`leave no timer behind, although no time passes: ${name}`, () =>
      Effect.gen(function* () {
        const timers = yield* Timers.make
        for (let i = 0; i < 20; i++) {
          const { ended, peer, steps } = yield* Served.open({ ...given, capacity: 64 }).pipe(
            Effect.provideService(Timers.Shared, timers)
          )
          assert.isTrue(timers.size > 0 || given.idleTimeout === never)
          // A large chunk has the writer wait for its peer.
          yield* steps.step(accept, chunk("x".repeat(1000)), end)
          yield* peer.request("one")
          while (!(yield* peer.next).startsWith("F"));
          yield* peer.sendBytes(new Uint8Array(3))
          yield* peer.close
          yield* ended
          assert.strictEqual(timers.size, 0)
        }
      })
    )
  }
})
