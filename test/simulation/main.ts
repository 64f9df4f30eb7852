/**
 * Simulates connections: `npm run simulate -- [--seeds N] [--from S]`. For a seed that fails it shows what
 * happened, and how to see it again; `--show` does so for every seed.
 */
import { performance } from "node:perf_hooks"
import { parseArgs } from "node:util"
import * as Simulation from "./Simulation.ts"

const { values: flags } = parseArgs({
  options: {
    seeds: { type: "string", default: "1000" },
    from: { type: "string", default: "1" },
    most: { type: "string", default: "3" },
    show: { type: "boolean", default: false }
  }
})

const from = Number(flags.from)
const seeds = Number(flags.seeds)
const startedAt = performance.now()
const kinds = new Map<string, Array<number>>()
let tasks = 0
let millis = 0
let failed = 0

for (let seed = from; seed < from + seeds; seed++) {
  const outcome = Simulation.run(seed)
  tasks += outcome.tasks
  millis += outcome.millis
  const [failure] = outcome.failures
  if (failure !== undefined) {
    failed++
    const kind = failure.replaceAll(/\d+/g, "N")
    kinds.set(kind, [...(kinds.get(kind) ?? []), seed])
  }
  if (flags.show || (failure !== undefined && failed <= Number(flags.most))) {
    console.log(`\nnpm run simulate -- --seeds 1 --from ${seed} --show   (${outcome.hash})`)
    console.log(outcome.transcript.join("\n"))
  }
}

const seconds = (performance.now() - startedAt) / 1000
console.log(
  `\n${seeds} seeds from ${from}, ${failed} failed, ${Math.round(seeds / seconds)} seeds/s; ` +
    `${tasks} tasks and ${Math.round(millis / 1000)} s of virtual time in ${seconds.toFixed(1)} s`
)
for (const [kind, of] of kinds) console.log(`${of.length} x ${kind}: ${of.slice(0, 5).join(", ")}`)
process.exitCode = failed === 0 ? 0 : 1
