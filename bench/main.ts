/**
 * Runs a bench by name: `npm run bench -- NAME [--quick]`.
 */
const benches: Record<string, (quick: boolean) => Promise<unknown>> = {
  cancel: async (quick) => (await import("./cancel.ts")).run({ rounds: quick ? 20 : 300 })
}

const [name = "", ...flags] = process.argv.slice(2)
const bench = benches[name]
if (bench === undefined) {
  console.error(`npm run bench -- NAME [--quick], where NAME is one of: ${Object.keys(benches).join(", ")}`)
  process.exitCode = 1
} else {
  const result = await bench(flags.includes("--quick"))
  console.log(JSON.stringify({ bench: name, node: process.version, result }))
}
