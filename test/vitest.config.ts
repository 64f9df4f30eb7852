import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const source = (path: string) => fileURLToPath(new URL(`../src/${path}`, import.meta.url))

/** Tests that share a process with others: loading the modules again for each file would take as long as they do. */
const together = [
  "cli/repl",
  "cli/sql",
  "cli/terminal",
  "client",
  "faults",
  "framing",
  "loop",
  "model",
  "net",
  "process",
  "protocol",
  "recording",
  "server",
  "testing",
  "threads"
].map((folder) => `test/${folder}/**/*.test.ts`)

export default defineConfig({
  root: fileURLToPath(new URL("..", import.meta.url)),
  resolve: {
    // The package by its own name, as the README's examples import it.
    alias: [
      { find: /^dataconn$/, replacement: source("index.ts") },
      { find: /^dataconn\/browser$/, replacement: source("browser/index.ts") },
      { find: /^dataconn\/duckdb$/, replacement: source("engine/duckdb/index.ts") },
      { find: /^dataconn\/testing$/, replacement: source("testing/index.ts") },
      { find: /^dataconn\/toolbox$/, replacement: source("toolbox.ts") }
    ]
  },
  test: {
    projects: [
      { extends: true, test: { name: "together", include: together, isolate: false } },
      { extends: true, test: { name: "alone", include: ["test/**/*.test.ts"], exclude: together } }
    ],
    globalSetup: ["test/support/bundle.ts"],
    setupFiles: ["test/support/seed.ts"],
    // Half of the tests wait for other processes: as many workers as a small machine has processors.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000
  }
})
