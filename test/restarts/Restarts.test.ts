import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Restarts from "./Restarts.ts"

describe("requests of pools", () => {
  it.live("are all answered, or known not to have run, while their server is restarted", () =>
    Effect.gen(function* () {
      const enough = ({ answered, restarts }: Restarts.Tally) => answered > 1000 && restarts >= 6
      const { lost } = yield* Restarts.run({ enough, lifeMillis: 150, pools: 3, workers: 8 })
      assert.deepStrictEqual(lost, {})
    }).pipe(Effect.scoped)
  )

  it.live("are all answered where they wait until it is ready", () =>
    Effect.gen(function* () {
      const enough = ({ answered, restarts }: Restarts.Tally) => answered > 1000 && restarts >= 6
      const pool = { waitForReady: "30 seconds", reconnectDelay: 10 } as const
      const times = { lifeMillis: 150, downMillis: 50 }
      const { lost, told } = yield* Restarts.run({ enough, ...times, pools: 3, workers: 8, pool })
      assert.deepStrictEqual([lost, told], [{}, {}])
    }).pipe(Effect.scoped)
  )

  it.live("are so beyond the number of connections that the server takes, too", () =>
    Effect.gen(function* () {
      // More pools than are heard at a time, so that others are turned away at the door.
      const settings = { maxConnections: 4 }
      const enough = ({ answered, told }: Restarts.Tally) => answered > 100 && (told["overloaded"] ?? 0) > 100
      const { lost } = yield* Restarts.run({ enough, pools: 24, workers: 5, settings })
      assert.deepStrictEqual(lost, {})
    }).pipe(Effect.scoped)
  )
})
