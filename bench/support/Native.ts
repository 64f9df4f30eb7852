/**
 * The native programs of the benches, compiled when they are first needed and kept for as long as their source
 * stays the same.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs"
import { fileURLToPath } from "node:url"

const cache = new URL("../../node_modules/.cache/dataconn-bench/", import.meta.url)
const flags = ["-O2", "-std=c++20"]

/** Whether a command ends well. */
export const succeeds = (command: string, ...args: ReadonlyArray<string>): boolean =>
  spawnSync(command, args, { stdio: "ignore" }).status === 0

/** Whether a compiler is there. */
export const hasCompiler = succeeds("g++", "--version")

/** Whether a header can be included. */
export const hasHeader = (header: string): boolean =>
  hasCompiler && succeeds("g++", ...flags, "-include", header, "-fsyntax-only", "-x", "c++", "/dev/null")

/** The path of a program of `native/`. Needs a compiler, and fails if the source does not compile. */
export const binary = (name: string): string => {
  const source = fileURLToPath(new URL(`../native/${name}.cpp`, import.meta.url))
  const hash = createHash("sha256").update(readFileSync(source)).digest("hex").slice(0, 12)
  const path = fileURLToPath(new URL(`${name}-${hash}`, cache))
  if (!existsSync(path)) {
    mkdirSync(cache, { recursive: true })
    const unfinished = `${path}.${process.pid}`
    execFileSync("g++", [...flags, "-o", unfinished, source, "-pthread"])
    renameSync(unfinished, path)
  }
  return path
}
