/**
 * Attempts while an engine opens. Each error names the setting to change.
 */
import * as Effect from "effect/Effect"
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
