#!/usr/bin/env node
// Otherwise any process that may send this signal could make Node open its debugger, and run arbitrary code
// here.
process.on("SIGUSR1", () => {})

// Until the version is known, only syntax that old versions of Node understand.
const minimum = [22, 19] as const
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)

if (major < minimum[0] || (major === minimum[0] && minor < minimum[1])) {
  console.error(`dataconn needs Node ${minimum.join(".")} or newer; this is ${process.version}.`)
  process.exitCode = 1
} else {
  const { defaults } = await import("./engine/duckdb/Environment.ts")
  for (const [name, value] of Object.entries(defaults)) process.env[name] ??= value
  await import("./cli/main.ts")
}

export {}
