/**
 * `npm run storm -- [--for 60s] [--seed N] [--engines 2] [--clients 12]`: the catalogue of queries that end their
 * process or do not stop, then a storm of signals.
 */
import { parseArgs } from "node:util"
import * as Effect from "effect/Effect"
import * as Flag from "../support/Flag.ts"
import * as Catalogue from "./Catalogue.ts"
import * as Storm from "./Storm.ts"

const { values: flags } = parseArgs({
  options: {
    for: { type: "string", default: "60s" },
    seed: { type: "string", default: "1" },
    engines: { type: "string", default: "2" },
    clients: { type: "string", default: "12" }
  }
})

const program = Effect.gen(function* () {
  const rows = yield* Catalogue.run
  console.table(rows)
  const outcome = yield* Storm.run({
    millis: Flag.millis("for", flags.for),
    seed: Flag.count("seed", flags.seed),
    engines: Flag.count("engines", flags.engines, 1),
    clients: Flag.count("clients", flags.clients, 1)
  })
  console.log(outcome)
  const isGood = rows.every(({ answer, others }) => /engine_lost|timeout/.test(answer) && others === 100)
  process.exitCode = isGood && outcome.wrong.length === 0 ? 0 : 1
})

await Effect.runPromise(Effect.scoped(program))
process.exit()
