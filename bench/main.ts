/**
 * Runs benches by name, or all of them; see README.md.
 */
import { strict as assert } from "node:assert"
import { readFileSync } from "node:fs"
import { availableParallelism, cpus } from "node:os"
import { parseArgs } from "node:util"
import type { Row } from "./support/Figures.ts"
import type { Options } from "./support/Options.ts"
import * as Results from "./support/Results.ts"

type Bench = (options: Options) => Promise<ReadonlyArray<Row>>

const benches: Record<string, () => Promise<{ readonly run: Bench }>> = {
  bulk: () => import("./bulk.ts"),
  small: () => import("./small.ts"),
  "fan-out": () => import("./fan-out.ts"),
  chunks: () => import("./chunks.ts"),
  cancel: () => import("./cancel.ts"),
  idle: () => import("./idle.ts"),
  stalled: () => import("./stalled.ts"),
  start: () => import("./start.ts"),
  growth: () => import("./growth.ts"),
  peers: () => import("./peers.ts"),
  relay: () => import("./relay.ts"),
  gateway: () => import("./gateway.ts"),
  receipt: () => import("./receipt.ts"),
  ceiling: () => import("./ceiling.ts"),
  duckdb: () => import("./duckdb.ts"),
  rows: () => import("./rows.ts"),
  steps: () => import("./steps.ts"),
  isolated: () => import("./isolated.ts")
}

const usage = `npm run bench -- NAME… [--quick] [--repeats N] [--output FILE] [--before CHECKOUT]
npm run bench -- chart [--output FILE] [--before CHECKOUT]

NAME is one of: all, ${Object.keys(benches).join(", ")}
`

const { positionals, values: flags } = parseArgs({
  allowPositionals: true,
  // A bench may have flags of its own.
  strict: false,
  options: {
    quick: { type: "boolean" },
    repeats: { type: "string" },
    output: { type: "string" },
    before: { type: "string" }
  }
})
const quick = flags.quick === true
const options: Options = { quick, repeats: Number(flags.repeats ?? (quick ? 1 : 5)) }
const output = typeof flags.output === "string" ? flags.output : undefined

/** Nothing that has run for a moment is still running after so long. */
const quickLimitSeconds = 120

/** Fails unless a bench has measured something. */
const check = (name: string, rows: ReadonlyArray<Row>): void => {
  assert(rows.length > 0, `${name} measured nothing`)
  for (const row of rows) {
    for (const [what, figure] of Object.entries(row)) {
      const isFigure = typeof figure !== "number" || (Number.isFinite(figure) && figure >= 0)
      assert(isFigure && figure !== "", `${name}: ${what} is ${figure}`)
    }
  }
}

/** How TCP paces what it sends, which moves all figures and differs between installations of Linux. */
const congestionControl = (): string => {
  try {
    return `, ${readFileSync("/proc/sys/net/ipv4/tcp_congestion_control", "utf8").trim()}`
  } catch {
    return ""
  }
}

const machine = `${availableParallelism()} cores of ${cpus()[0]?.model ?? "an unknown CPU"}${congestionControl()}`

const runBench = async (name: string, load: () => Promise<{ readonly run: Bench }>) => {
  const limit = quick
    ? setTimeout(() => {
        console.error(`${name} does not end`)
        process.exit(1)
      }, quickLimitSeconds * 1000)
    : undefined
  const rows = await (await load()).run(options)
  clearTimeout(limit)
  check(name, rows)
  console.log(`\n${name}`)
  console.table(rows)
  const result = { bench: name, node: process.version, machine, quick, repeats: options.repeats, rows }
  console.log(JSON.stringify(result))
  if (output !== undefined) Results.add(output, result)
}

const names = positionals.flatMap((name) => (name === "all" ? Object.keys(benches) : [name]))
if (names[0] === "chart") {
  const { draw } = await import("./chart.ts")
  draw(output)
} else if (names.length === 0 || names.some((name) => benches[name] === undefined)) {
  console.error(usage)
  process.exitCode = 1
} else {
  for (const name of names) {
    const bench = benches[name]
    if (bench !== undefined) await runBench(name, bench)
  }
}
