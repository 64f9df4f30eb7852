/**
 * Bundles the command into a folder, `.cache/command` by default: a start from its hundreds of modules
 * takes more than twice as long. DuckDB stays a package. The library stays modules, so that it
 * shares its user's Effect.
 */
import { readdir, readFile, writeFile } from "node:fs/promises"
import { basename, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import * as esbuild from "esbuild"

const source = fileURLToPath(new URL("..", import.meta.url))
const root = fileURLToPath(new URL("../..", import.meta.url))
const out = resolve(process.argv[2] ?? join(root, ".cache/command"))

/** The command, and its programs for separate processes and threads. */
const programs = [
  "bin.ts",
  "process/main.ts",
  "process/DuckDb.ts",
  "threads/EngineThread.ts",
  "cli/load/Thread.ts",
  "cli/load/RawServer.ts"
]

/** All programs are in one folder, so that a module finds them beside itself. */
const places: esbuild.Plugin = {
  name: "places",
  setup: (build) =>
    build.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const text = await readFile(path, "utf8")
      const place = `new URL("./${basename(path, ".ts")}.js", import.meta.url).href`
      return { contents: text.replaceAll("import.meta.url", place), loader: "ts" }
    })
}

const { metafile } = await esbuild.build({
  absWorkingDir: root,
  entryPoints: programs.map((path) => join(source, path)),
  entryNames: "[name]",
  chunkNames: "[name]-[hash]",
  outdir: out,
  bundle: true,
  splitting: true,
  platform: "node",
  format: "esm",
  target: "node22.19",
  external: ["@duckdb/node-bindings*"],
  // For bundled code that is no module.
  banner: {
    js: 'import { createRequire as requireOf } from "node:module"; const require = requireOf(import.meta.url);'
  },
  plugins: [places],
  legalComments: "none",
  metafile: true,
  logLevel: "error"
})

/** The folders of the packages whose code is in the bundle. */
const packages = new Set(
  Object.keys(metafile.inputs).flatMap(
    (path) => path.match(/^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/) ?? []
  )
)

const licence = async (path: string): Promise<string> => {
  const file = (await readdir(join(root, path))).find((name) => /^licen[cs]e/i.test(name))
  const { license, name, version } = JSON.parse(await readFile(join(root, path, "package.json"), "utf8"))
  const words = file === undefined ? `${license}\n` : await readFile(join(root, path, file), "utf8")
  return `${name} ${version}\n\n${words}`
}

await writeFile(
  join(out, "LICENSES.txt"),
  (await Promise.all(Array.from(packages).sort().map(licence))).join(`\n${"-".repeat(80)}\n\n`)
)
