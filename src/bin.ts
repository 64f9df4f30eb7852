#!/usr/bin/env node
// Only what old versions of Node understand, until the version is known.
const minimum = [22, 19] as const
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)

if (major < minimum[0] || (major === minimum[0] && minor < minimum[1])) {
  console.error(`dataconn needs Node ${minimum.join(".")} or newer; this is ${process.version}.`)
  process.exitCode = 1
} else {
  // DuckDB holds one of libuv's threads for each result that is being fetched; the pool's size is read once,
  // when the first of them is used.
  const size = "UV_THREADPOOL_SIZE"
  process.env[size] ??= "64"
  await import("./cli/main.ts")
}

export {}
