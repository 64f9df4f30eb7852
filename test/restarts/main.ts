/**
 * Restarts a server under load: `npm run restarts -- [--for 1m] [--life 200ms] [--pools 4] [--workers 8]`. The exit code
 * is 0 if no request was lost.
 */
import { parseArgs } from "node:util"
import * as Effect from "effect/Effect"
import * as Flag from "../support/Flag.ts"
import * as Restarts from "./Restarts.ts"

const { values: flags } = parseArgs({
  options: {
    for: { type: "string", default: "1m" },
    life: { type: "string", default: "200ms" },
    pools: { type: "string", default: "4" },
    workers: { type: "string", default: "8" },
    connections: { type: "string", default: "4096" }
  }
})

const until = performance.now() + Flag.millis("for", flags.for)

const tally = await Effect.runPromise(
  Effect.scoped(
    Restarts.run({
      enough: () => performance.now() > until,
      lifeMillis: flags.life === "Infinity" ? undefined : Flag.millis("life", flags.life),
      pools: Flag.count("pools", flags.pools, 1),
      workers: Flag.count("workers", flags.workers, 1),
      settings: { maxConnections: Flag.count("connections", flags.connections, 1) }
    })
  )
)
console.log(tally)
process.exitCode = Object.keys(tally.lost).length === 0 ? 0 : 1
