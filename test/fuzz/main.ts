/**
 * Plays hostile conversations against the real server: `npm run fuzz -- --for 60s [--seed N]`. A conversation
 * that finds something is written to a file; `--play FILE` plays it again, ten times.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import * as Effect from "effect/Effect"
import * as Flag from "../support/Flag.ts"
import { percentile } from "../support/Percentile.ts"
import * as Fuzz from "./Fuzz.ts"
import * as Script from "./Script.ts"

const { values: flags } = parseArgs({
  options: {
    for: { type: "string", default: "60s" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    play: { type: "string" }
  }
})

const repeats = 10
const longest = 400

const seed = Flag.count("seed", flags.seed)
const played = flags.play === undefined ? undefined : Script.parse(readFileSync(flags.play, "utf8"))

const show = ({ number, script, texts }: Fuzz.Fault): void => {
  for (const text of texts)
    console.log(`\nFAULT ${number === undefined ? "" : `(seed ${seed}, ${number}) `}${text}`)
  if (script === undefined) return
  const text = Script.format(script)
  const file = flags.play ?? join(tmpdir(), `dataconn-fuzz-${seed}-${number}.txt`)
  if (flags.play === undefined) writeFileSync(file, `${text}\n`)
  console.log(`  npm run fuzz -- --play ${file}`)
  console.log(`  ${text.length > longest ? `${text.slice(0, longest)}… (${text.length} characters)` : text}`)
}

const counts = (of: Readonly<Record<string, number>>): string =>
  Object.entries(of)
    .sort(([, a], [, b]) => b - a)
    .map(([name, count]) => `${name} ${count}`)
    .join(", ")

const report = (outcome: Fuzz.Outcome): void => {
  const { after, answers, before, closings, faults, latencies, seconds } = outcome
  const at = (share: number) => percentile(latencies, share).toFixed(1)
  const mebibytes = (bytes: number) => Number((bytes / 2 ** 20).toFixed(1))
  for (const fault of faults.slice(0, 20)) show(fault)
  console.log(`\nseed ${seed}: ${outcome.played} conversations, the measured ones in ${seconds.toFixed(0)} s`)
  console.log(`answers: ${counts(answers)}`)
  console.log(`connections ended by: ${counts(closings)}`)
  console.log(
    `control clients: ${latencies.length} answers, p50 ${at(0.5)}, p99 ${at(0.99)}, max ${at(1)} ms`
  )
  console.table(
    [before, after].map(({ externalBytes, heapBytes, residentBytes, ...counts }, i) => ({
      when: ["before", "after"][i],
      "objects MiB": mebibytes(heapBytes),
      "buffers MiB": mebibytes(externalBytes),
      "resident MiB": mebibytes(residentBytes),
      handles: counts.handles,
      threads: counts.threads,
      connections: counts.connections,
      fibers: counts.fibers,
      timers: counts.timers
    }))
  )
  console.log(
    `bounds: counts as before, ${Object.entries(Fuzz.memoryBounds)
      .map(([name, bytes]) => `${name} ${mebibytes(bytes)} MiB more`)
      .join(", ")}`
  )
  console.log(faults.length === 0 ? "no fault" : `${faults.length} faults`)
  process.exitCode = faults.length === 0 ? 0 : 1
}

// The server is in a group of its own, and has to be stopped from here.
let stopped = false
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    stopped = true
  })
}

const duration = Flag.millis("for", flags.for)

report(
  await Effect.runPromise(
    Fuzz.run(
      played === undefined
        ? { seed, warmUp: 300, goesOn: (_, elapsed) => !stopped && elapsed < duration }
        : { seed, warmUp: 0, goesOn: () => !stopped, scripts: Array(repeats).fill(played).values() }
    )
  )
)
