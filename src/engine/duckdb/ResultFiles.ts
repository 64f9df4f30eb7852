/**
 * Files that DuckDB writes complete results to, before they are streamed.
 *
 * They are in DuckDB's spill directory: it is the only place where a sealed instance may write, and no query
 * can list or read it (`Spill`).
 */
import { randomUUID } from "node:crypto"
import { createReadStream, statSync } from "node:fs"
import { rm } from "node:fs/promises"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type QueryError, queryError } from "../QueryApi.ts"
import * as Spill from "./Spill.ts"

/** See {@link make}. */
export interface ResultFiles {
  /** A path for a new file. The file is deleted with the scope. */
  readonly open: Effect.Effect<ResultFile, never, Scope.Scope>
}

export interface ResultFile {
  readonly path: string
  /**
   * Runs the write of the file. The write is interrupted, and fails with `execution_failed`, once all files
   * together are larger than `maxSpill`.
   */
  readonly written: <A>(write: Effect.Effect<A, QueryError>) => Effect.Effect<A, QueryError>
  /** The file's bytes, once it is written. */
  readonly bytes: Stream.Stream<Uint8Array, QueryError>
}

/** How often the size of a file is checked while it is written, in milliseconds. */
const lookMs = 20

/** Bytes of a file per read. */
const readBytes = 256 * 1024

/**
 * Files in a directory, limited to `maxSpill` bytes together. Bytes written between two checks
 * may exceed that.
 */
export const make = (directory: string, maxSpill: number): ResultFiles => {
  const sizes = new Map<string, number>()

  const isExceeded = (path: string): boolean => {
    sizes.set(path, statSync(path, { throwIfNoEntry: false })?.size ?? 0)
    let total = 0
    for (const size of sizes.values()) total += size
    return total > maxSpill
  }

  const tooLarge = queryError(
    "execution_failed",
    `Parquet results may take ${maxSpill} bytes on disk together (maxSpill), and this one does not fit`
  )

  // Real timers on purpose: DuckDB's threads do not run on a test's virtual clock.
  const exceeded = (path: string): Effect.Effect<never, QueryError> =>
    Effect.callback<never, QueryError>((resume) => {
      const timer = setInterval(() => {
        if (isExceeded(path)) resume(Effect.fail(tooLarge))
      }, lookMs)
      return Effect.sync(() => clearInterval(timer))
    })

  const fileAt = (path: string): ResultFile => ({
    path,
    written: (write) =>
      Effect.tap(Effect.raceFirst(write, exceeded(path)), () =>
        isExceeded(path) ? Effect.fail(tooLarge) : Effect.void
      ),
    bytes: Stream.fromAsyncIterable(
      {
        [Symbol.asyncIterator]: () =>
          createReadStream(path, { highWaterMark: readBytes })[Symbol.asyncIterator]()
      },
      (cause) => queryError("internal", `The result's file could not be read back: ${String(cause)}`)
    )
  })

  return {
    open: Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => {
          Spill.ensure(directory)
          return join(directory, randomUUID())
        }),
        (path) =>
          Effect.promise(async () => {
            await rm(path, { force: true })
            sizes.delete(path)
          })
      ),
      fileAt
    )
  }
}
