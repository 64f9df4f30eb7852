/**
 * Runs a bench by name: `npm run bench -- NAME [--quick] [--only TEXT]`.
 */
import { parseArgs } from "node:util"

const { positionals, values: flags } = parseArgs({
  allowPositionals: true,
  // A bench may have flags of its own.
  strict: false,
  options: { quick: { type: "boolean", default: false }, only: { type: "string", default: "" } }
})

const benches: Record<string, () => Promise<unknown>> = {
  cancel: async () => (await import("./cancel.ts")).run({ rounds: flags.quick ? 20 : 300 }),
  duckdb: async () => (await import("./duckdb.ts")).run(),
  throughput: async () =>
    (await import("./throughput.ts")).run({
      scale: flags.quick ? 0.01 : 1,
      repeats: flags.quick ? 1 : 3,
      only: String(flags.only)
    })
}

const [name = ""] = positionals
const bench = benches[name]
if (bench === undefined) {
  console.error(
    `npm run bench -- NAME [--quick] [--only TEXT], where NAME is one of: ${Object.keys(benches).join(", ")}`
  )
  process.exitCode = 1
} else {
  const result = await bench()
  console.log(JSON.stringify({ bench: name, node: process.version, result }))
}
