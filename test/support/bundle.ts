/**
 * Before the tests: bundles the command and the console, as those that start them are the longest, and start what the
 * package has. What else is built may come and go meanwhile.
 *
 * All processes that the tests start share a folder for temporary files, which is gone after them whatever ended them.
 */
import { execFileSync, spawn } from "node:child_process"
import { chmodSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const root = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))

/** Where Node keeps what it compiles. */
export const compiled = root(".cache/compiled")

/** Has what Node compiles for a server kept: those that have given up their rights cannot. */
const compile = () => {
  const args = ["serve", "--listen", "127.0.0.1:0", "--landlock", "off", "--isolate", "none", "--allow-root"]
  const server = spawn(process.execPath, [root(".cache/command/bin.js"), ...args], {
    env: { ...process.env, NODE_COMPILE_CACHE: compiled },
    stdio: ["ignore", "pipe", "ignore"]
  })
  server.stdout.on("data", (text) => {
    if (String(text).includes("Started")) server.kill("SIGTERM")
  })
  // The tests may be over before it has started.
  process.once("exit", () => server.kill("SIGKILL"))
}

export const setup = () => {
  const folder = mkdtempSync(join(tmpdir(), "dc-"))
  // Servers that are told to be another user use it too.
  chmodSync(folder, 0o1777)
  process.env["TMPDIR"] = folder
  execFileSync(process.execPath, [root("src/cli/build.ts")])
  execFileSync(process.execPath, [root("src/gateway/console/build.ts")])
  compile()
  return () => rmSync(folder, { recursive: true, force: true })
}
