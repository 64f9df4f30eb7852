import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"
import Order from "./support/Order.ts"

const source = (path: string) => fileURLToPath(new URL(`../src/${path}`, import.meta.url))

/**
 * Tests with a process of their own: they look at what their process has, or change it. The others share one, as loading
 * the modules again for each file would take as long as they do.
 */
const alone = [
  "engine/duckdbInvalidated",
  "engine/duckdbMemory",
  "integration/BlockedLoop",
  "integration/BusyClient",
  "integration/FreeMemory",
  "integration/Hostile",
  "integration/NodeInternals",
  "integration/OwnedChunks",
  "integration/ProcessEngine",
  "integration/ThreadEngine",
  "package/Bundle",
  "simulation/**/*"
].map((name) => `test/${name}.test.ts`)

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
      { extends: true, test: { name: "alone", include: alone } },
      {
        extends: true,
        test: { name: "together", include: ["test/**/*.test.ts"], exclude: alone, isolate: false }
      }
    ],
    globalSetup: ["test/support/bundle.ts"],
    sequence: { sequencer: Order },
    setupFiles: ["test/support/seed.ts"],
    // Half of the tests wait for other processes: as many workers as a small machine has processors.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000
  }
})
