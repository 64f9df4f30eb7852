/**
 * Bundles the command and the console before the tests: those that start them are the longest, and start what the package
 * has. What else is built may come and go meanwhile.
 */
import { execFileSync } from "node:child_process"
import { fileURLToPath } from "node:url"

const source = (path: string) => fileURLToPath(new URL(`../../src/${path}`, import.meta.url))
export const setup = () => {
  execFileSync(process.execPath, [source("cli/build.ts")])
  execFileSync(process.execPath, [source("gateway/console/build.ts")])
}
