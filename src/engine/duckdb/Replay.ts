/**
 * Replays the log of a database file that DuckDB cannot replay while it opens that file.
 *
 * DuckDB replays the log of its main database before this database has a name, and a logged statement that
 * calls a function or names a type needs it (`DatabaseManager::GetDefaultDatabase`). An attached database of
 * the default name has one.
 */
import { rmSync } from "node:fs"
import { basename, join } from "node:path"
import { DuckDBInstance } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import { DuckDbError, fromCause } from "./Failure.ts"
import * as Opening from "./Opening.ts"
import * as Sql from "./Sql.ts"

/** Whether a database could not be opened because of its log. */
export const isFailed = ({ cause }: DuckDbError): boolean =>
  fromCause(cause).message.includes("Failure while replaying WAL file")

/** Adds the remedy to the error of a database that may not be changed. */
export const advise = (error: DuckDbError): DuckDbError =>
  isFailed(error) ? explained(error, "open it once with readWrite") : error

const explained = ({ cause, message, setting }: DuckDbError, more: string): DuckDbError =>
  new DuckDbError({ setting, message: `${message.split("\n")[0]} (${more})`, cause })

/**
 * Replays the log into the file. A log that cannot be replayed here either stays as it is. `directory` is a
 * private one.
 */
export const repair = Effect.fnUntraced(function* (
  path: string,
  directory: string
): Effect.fn.Return<void, DuckDbError> {
  yield* Effect.logWarning(
    `DuckDB cannot replay the log of ${path} while it opens the file; it is replayed separately`
  )
  // The main database gets its name from its file.
  const empty = join(directory, basename(path))
  yield* Effect.scoped(replay(path, empty, directory)).pipe(
    Effect.mapError((error) => explained(error, `the file and its log, ${path}.wal, are unchanged`)),
    Effect.ensuring(Effect.sync(() => remove(empty)))
  )
  yield* Effect.logInfo(`The log of ${path} has been replayed`)
})

const replay = Effect.fnUntraced(function* (path: string, empty: string, directory: string) {
  const settings = { ...Opening.closed, temp_directory: directory }
  const instance = yield* Effect.acquireRelease(
    Opening.attempt("database", () => DuckDBInstance.create(empty, settings)),
    (instance) => Effect.sync(() => instance.closeSync())
  )
  const connection = yield* Effect.acquireRelease(
    Opening.attempt("database", () => instance.connect()),
    (connection) => Effect.sync(() => connection.disconnectSync())
  )
  const run = (sql: string) => Opening.attempt("database", () => connection.run(sql))
  const found = yield* run("SELECT current_database()")
  const name = String((yield* Opening.attempt("database", () => found.getRows()))[0]?.[0])
  const own = Sql.identifier(name)
  const other = Sql.identifier(`${name}_`)
  const statements = [
    // As when the logged statements ran.
    "SET GLOBAL TimeZone = 'UTC'",
    `ATTACH ':memory:' AS ${other}`,
    `USE ${other}`,
    `DETACH ${own}`,
    `ATTACH ${Sql.literal(path)} AS ${own}`,
    `CHECKPOINT ${own}`,
    `DETACH ${own}`
  ]
  yield* Effect.forEach(statements, run, { discard: true })
})

const remove = (path: string): void => {
  for (const suffix of ["", ".wal"]) rmSync(`${path}${suffix}`, { force: true })
}
