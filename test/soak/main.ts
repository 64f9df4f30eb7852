/**
 * Mixed load on the real server for as long as asked: `npm run soak -- --for 20m [--plot FILE.svg] [--seed N]
 * [--processes N] [--pace N] [--every 5s] [--live-every 30s]`. Ctrl-C ends it early, with the verdict and the plot all the same.
 */
import { writeFileSync } from "node:fs"
import { parseArgs } from "node:util"
import * as Effect from "effect/Effect"
import * as Flag from "../support/Flag.ts"
import * as Sample from "./Sample.ts"
import * as Soak from "./Soak.ts"
import * as Verdict from "./Verdict.ts"

const { values: flags } = parseArgs({
  options: {
    for: { type: "string", default: "20m" },
    every: { type: "string", default: "5s" },
    "live-every": { type: "string", default: "30s" },
    pace: { type: "string", default: "1" },
    plot: { type: "string" },
    processes: { type: "string", default: "2" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) }
  }
})

const interrupted = new Promise<void>((resolve) => {
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => resolve())
})

const seed = Flag.count("seed", flags.seed)
const command = `npm run soak -- --for ${flags.for} --seed ${seed} --processes ${flags.processes} --pace ${flags.pace}`
console.log(`${command}\n${Sample.header}`)

const outcome = await Effect.runPromise(
  Soak.run({
    seed,
    processes: Flag.count("processes", flags.processes, 1),
    pace: Flag.count("pace", flags.pace, 1),
    sampleMillis: Flag.millis("every", flags.every),
    liveMillis: Flag.millis("live-every", flags["live-every"]),
    restartMillis: [10_000, 40_000],
    load: Effect.asVoid(
      Effect.timeoutOption(
        Effect.promise(() => interrupted),
        Flag.millis("for", flags.for)
      )
    ),
    onSample: (sample) => console.log(Sample.format(sample)),
    onLiving: (living) => console.log(Sample.formatLiving(living))
  })
)

if (flags.plot !== undefined) {
  writeFileSync(flags.plot, Sample.plot(command, outcome.samples, outcome.livings))
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
