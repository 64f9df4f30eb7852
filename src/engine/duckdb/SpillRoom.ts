/**
 * The room that an instance has on the disk it spills to.
 */
import { readdirSync, statfsSync, statSync } from "node:fs"
import { join } from "node:path"
import type { DuckDBInstance } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import type * as Instance from "./Instance.ts"
import * as Opening from "./Opening.ts"

/** An engine's part of the free disk: two engines leave a fifth of it. */
const shareOfDisk = 0.4

/**
 * The number of bytes that may be in DuckDB's directory: at most `most`, and never all that is free. DuckDB loses track of
 * what it has written when the disk is full, and keeps that until it is closed.
 */
export const of = (path: string, most: number): number => {
  try {
    const { bavail, bsize } = statfsSync(path)
    const share = Math.floor(bavail * bsize * shareOfDisk)
    return share >= most ? most : Math.min(most, spilled(path) + share)
  } catch {
    return most
  }
}

/** The number of bytes in DuckDB's directory. */
const spilled = (path: string): number => {
  try {
    return readdirSync(path).reduce(
      (sum, name) => sum + (statSync(join(path, name), { throwIfNoEntry: false })?.size ?? 0),
      0
    )
  } catch {
    return 0
  }
}

/** Limits how much an instance may spill. DuckDB shows the limit but ignores it if it is set at creation. */
export const limit = (bytes: number): string => `SET max_temp_directory_size = '${bytes}B'`

/** Sets the limit again as the disk fills or empties, if the change is worth it. */
export const fit = (instance: DuckDBInstance, directory: string, maxSpill: number): Effect.Effect<void> => {
  let before = maxSpill
  return Effect.suspend(() => {
    const bytes = of(directory, maxSpill)
    if (Math.abs(bytes - before) * 16 <= before) return Effect.void
    before = bytes
    const set = Opening.attempt("maxSpill", async () => {
      const connection = await instance.connect()
      try {
        await connection.run(limit(bytes))
      } finally {
        connection.disconnectSync()
      }
    })
    return Effect.ignore(set)
  })
}

/** The size of files that are worth another instance, in bytes. */
const worthwhile = 1024 ** 2

const reported = (left: number) => (outcome: Effect.Success<Instance.Instance["retire"]>) => {
  if (outcome === undefined) return Effect.void
  const consequence =
    outcome === "replaced"
      ? "the database is opened again, which frees them"
      : "only another start of the server frees them, and a database in memory begins anew then"
  return Effect.logError(
    `The disk of spillDirectory was full, and DuckDB keeps ${Math.ceil(left / 1024 ** 2)} MiB of queries there that have failed: ${consequence}`
  )
}

/** Called when a query found the disk full: frees what DuckDB keeps of failed queries, and logs that. */
export const free = (instance: Instance.Instance, directory: () => string): Effect.Effect<void> =>
  Effect.suspend(() => {
    const left = spilled(directory())
    return left < worthwhile ? Effect.void : Effect.flatMap(instance.retire, reported(left))
  })
