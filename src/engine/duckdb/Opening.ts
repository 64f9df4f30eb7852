/**
 * Attempts while an engine opens. Each error names the setting to change.
 */
import { DuckDBInstance } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as ErrorMessage from "../ErrorMessage.ts"
import { DuckDbError, fromCause } from "./Failure.ts"

/** Calls DuckDB on behalf of a setting. */
export const attempt = <A>(setting: string, thunk: () => Promise<A>): Effect.Effect<A, DuckDbError> =>
  // If a database is closed while a call is still running in it, the process never ends.
  Effect.uninterruptible(
    Effect.tryPromise({
      try: thunk,
      catch: (cause) =>
        new DuckDbError({
          setting,
          message: ErrorMessage.bounded(`${setting}: ${shortened(fromCause(cause).message.trim())}`),
          cause
        })
    })
  )

/** Longest quoted line, in characters: DuckDB's advice comes after the quote. */
const maxLineLength = 400

/** The guesses of DuckDB's CSV reader, of which it lists all: the advice beside them names those that matter. */
const guesses = [
  /^ *The search space used was:\n(?:.*(?:Candidates:|Encoding:).*\n+)*/m,
  /^ *delimiter = .*\n(?: *\w+ = .*(?:\n|$))*/m
]

const shortened = (message: string): string =>
  guesses
    .reduce((shorter, pattern) => shorter.replace(pattern, ""), message)
    .trim()
    .split("\n")
    .map((line) => (line.length > maxLineLength ? `${line.slice(0, maxLineLength)}…` : line))
    .join("\n")

/** Whatever needed the memory, the limit is the setting to change. */
export const inMemory = (limit: string | undefined, error: DuckDbError): DuckDbError => {
  const { message, type } = fromCause(error.cause)
  if (type !== "Out of Memory" || limit === undefined) return error
  const [first = ""] = message.split("\n")
  const what = error.setting === "memoryLimit" ? "" : `${error.setting}: `
  return new DuckDbError({
    setting: "memoryLimit",
    message: ErrorMessage.bounded(`memoryLimit: ${limit} is too small (${what}${first.trim()})`),
    cause: error.cause
  })
}

/**
 * Settings that close an instance from the start: no network access, and no reading of a user's own files.
 */
export const closed = {
  // Only this form has the exception's type and position.
  errors_as_json: "true",
  autoinstall_known_extensions: "false",
  autoload_known_extensions: "false",
  allow_community_extensions: "false",
  allow_persistent_secrets: "false",
  // This is the only setting that would otherwise show the home directory of the server's user.
  secret_directory: "none"
} as const

/** Creates an instance; it closes with the scope. */
export const create = (
  database: string | undefined,
  settings: Readonly<Record<string, string>>
): Effect.Effect<DuckDBInstance, DuckDbError, Scope.Scope> =>
  Effect.acquireRelease(
    attempt("database", () => DuckDBInstance.create(database ?? ":memory:", settings)),
    (instance) =>
      Effect.andThen(
        database === undefined || settings["access_mode"] === "READ_ONLY"
          ? Effect.void
          : Effect.promise(() => checkpoint(instance)),
        Effect.sync(() => instance.closeSync())
      )
  )

/** On close DuckDB checkpoints its own log, but not one left behind by another process. */
const checkpoint = async (instance: DuckDBInstance): Promise<void> => {
  try {
    const connection = await instance.connect()
    await connection.run("CHECKPOINT")
    connection.disconnectSync()
  } catch {
    // The log stays, and no data are lost.
  }
}
