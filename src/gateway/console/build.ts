/**
 * Bundles the console into a folder, by default `.cache/gateway/console`, from which the gateway serves it.
 */
import { copyFile, mkdir } from "node:fs/promises"
import { join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import * as esbuild from "esbuild"

const here = fileURLToPath(new URL(".", import.meta.url))
const out = resolve(
  process.argv[2] ?? fileURLToPath(new URL("../../../.cache/gateway/console", import.meta.url))
)

await mkdir(out, { recursive: true })
await esbuild.build({
  absWorkingDir: here,
  entryPoints: { console: "main.ts", worker: "worker.ts" },
  bundle: true,
  minify: true,
  format: "esm",
  target: ["chrome123", "firefox120", "safari17.5"],
  outdir: out,
  logLevel: "warning"
})
await Promise.all(["index.html", "icon.svg"].map((name) => copyFile(join(here, name), join(out, name))))
