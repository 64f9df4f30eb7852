#!/usr/bin/env node
// Whoever may send it could have Node open its debugger, and run what they like in this process.
process.on("SIGUSR1", () => {})

// Only what old versions of Node understand, until the version is known.
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
