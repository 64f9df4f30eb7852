/**
 * What is tried while an engine opens, and why it fails: each error names the setting to change.
 */
import * as Effect from "effect/Effect"
import * as ErrorMessage from "../ErrorMessage.ts"
import { DuckDbError, fromCause } from "./Failure.ts"

/** Calls DuckDB on behalf of a setting. */
export const attempt = <A>(setting: string, thunk: () => Promise<A>): Effect.Effect<A, DuckDbError> =>
  // A database that is closed while a call is still running in it never lets the process end.
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

/** Of a line that DuckDB quotes: what it advises comes after it. */
const maxLineLength = 400

const shortened = (message: string): string =>
  message
    .split("\n")
    .map((line) => (line.length > maxLineLength ? `${line.slice(0, maxLineLength)}…` : line))
    .join("\n")

/** Whatever the memory did not suffice for, it is the limit that has to be changed. */
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
