/**
 * Simulates servers: `npm run simulate -- [--seeds N] [--for 2m] [--from S]`, or a gateway with its back-ends if it
 * is told `--gateway`. With `--for` and without `--from` the seeds are others each time.
 *
 * Of each way to fail, the first seed is shrunk for `--shrink` at most. `--show` shows every seed; `--without`
 * and `--order` change it as the commands for small scenarios do. `--recording FILE` has the clients of a recording
 * (`dataconn query --record FILE`) in each of the scenarios, over the network that the seed decides.
 */
import { readFileSync } from "node:fs"
import { parseArgs } from "node:util"
import * as Result from "effect/Result"
import * as Recording from "../../src/recording/Recording.ts"
import * as Flag from "../support/Flag.ts"
import * as FromRecording from "./FromRecording.ts"
import * as Gateway from "./gateway/Simulation.ts"
import * as Search from "./Search.ts"
import * as Simulation from "./Simulation.ts"

const { values: flags } = parseArgs({
  options: {
    seeds: { type: "string" },
    for: { type: "string", default: "Infinity" },
    from: { type: "string" },
    most: { type: "string" },
    shrink: { type: "string", default: "20s" },
    show: { type: "boolean", default: false },
    without: { type: "string" },
    order: { type: "string" },
    recording: { type: "string" },
    gateway: { type: "boolean", default: false }
  }
})

/** What makes the scenarios of a recording. */
const fromRecording = (file: string) => {
  const recording = Recording.parse(readFileSync(file, "utf8"))
  if (Result.isSuccess(recording)) return FromRecording.make(recording.success)
  console.error(`--recording ${file}: ${recording.failure.message}`)
  process.exit(2)
}

const count = (name: "seeds" | "from" | "most" | "order", fallback: number): number =>
  flags[name] === undefined ? fallback : Flag.count(name, flags[name])

const isTimed = flags.for !== "Infinity"
const variation = { without: flags.without?.split(",") ?? [], order: count("order", 0) }
const options = {
  // No second has room for a thousand seeds, so that two searches have none in common.
  from: count("from", isTimed ? Math.floor(Date.now() / 1000) * 1000 : 1),
  seeds: count("seeds", isTimed ? Number.POSITIVE_INFINITY : 1000),
  millis: Flag.millis("for", flags.for),
  mostKinds: count("most", 3),
  shrinkMillis: Flag.millis("shrink", flags.shrink),
  show: flags.show,
  print: (line: string) => console.log(line)
}
if (flags.gateway && flags.recording !== undefined) {
  console.error("--recording is of a server and its clients: it cannot stand with --gateway")
  process.exit(2)
}
const { failed } = flags.gateway
  ? Search.run({ ...options, subject: Gateway.subject, variation })
  : Search.run({
      ...options,
      subject: Simulation.subject,
      variation:
        flags.recording === undefined
          ? variation
          : { ...variation, recording: flags.recording, make: fromRecording(flags.recording) }
    })
process.exitCode = failed === 0 ? 0 : 1
