/**
 * Mixed load on the real server for as long as asked: `npm run soak -- --for 20m [--plot FILE.svg] [--seed N]
 * [--processes N] [--every 5s]`. Ctrl-C ends it early, with the verdict and the plot all the same.
 */
import { writeFileSync } from "node:fs"
import { parseArgs } from "node:util"
import * as Effect from "effect/Effect"
import * as TimeFlag from "../support/TimeFlag.ts"
import * as Sample from "./Sample.ts"
import * as Soak from "./Soak.ts"
import * as Verdict from "./Verdict.ts"

const { values: flags } = parseArgs({
  options: {
    for: { type: "string", default: "20m" },
    every: { type: "string", default: "5s" },
    plot: { type: "string" },
    processes: { type: "string", default: "2" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) }
  }
})

const interrupted = new Promise<void>((resolve) => {
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => resolve())
})

const seed = Number(flags.seed)
console.log(`seed ${seed}, ${flags.processes} processes of clients, ${flags.for}\n${Sample.header}`)

const outcome = await Effect.runPromise(
  Soak.run({
    seed,
    processes: Number(flags.processes),
    sampleMillis: TimeFlag.parse(flags.every),
    restartMillis: [10_000, 40_000],
    load: Effect.raceFirst(
      Effect.sleep(TimeFlag.parse(flags.for)),
      Effect.promise(() => interrupted)
    ),
    onSample: (sample) => console.log(Sample.format(sample))
  })
)

if (flags.plot !== undefined) {
  writeFileSync(flags.plot, Sample.plot(`npm run soak -- --for ${flags.for} --seed ${seed}`, outcome.samples))
}

const { cancelled, abandoned, bytes } = outcome.total
const findings = Verdict.findings(outcome)
const good = findings.every(({ holds }) => holds)
console.log(
  `\n${Math.round(outcome.samples.at(-1)?.seconds ?? 0)} s: ${cancelled} cancels, ${abandoned} responses left by ` +
    `the client, ${outcome.restarts} processes killed and replaced, ${(bytes / 1e9).toFixed(1)} GB of results`
)
for (const { holds, text } of findings) console.log(`${holds ? "  " : "! "}${text}`)
console.log(good ? "good" : "NOT good")
process.exitCode = good ? 0 : 1
