/**
 * Where in a client's text a failure is that DuckDB found in SQL which was made of it.
 *
 * DuckDB also gives places in the texts of views, macros and defaults, as if they were those of the statement. So none
 * counts in a statement that calls macros, and others only where the parser's tree of the statement has something.
 */
import { Buffer } from "node:buffer"
import * as Effect from "effect/Effect"
import * as Failure from "./Failure.ts"
import type { Guard } from "./Guard.ts"

/** The 1-based character of the client's text, for a failure of SQL that holds it; `undefined` if it is not known. */
export type Locate = (failure: Failure.Failure, sql: string) => Effect.Effect<number | undefined>

/** Finds places in a statement that begins after so many characters of the client's text. */
export const of =
  ({ builtIn, parser }: Pick<Guard, "builtIn" | "parser">, statement: string, before = 0): Locate =>
  (failure, sql) =>
    Effect.gen(function* () {
      const start = startOf(statement, sql)
      if (failure.offset === undefined || start === -1) return undefined
      const offset = failure.offset - Buffer.byteLength(sql.slice(0, start))
      if (offset < 0 || offset >= Buffer.byteLength(statement)) return undefined
      const queries = yield* parser.parse(statement)
      const isPlain = typeof queries === "string" || queries.functions.every((name) => builtIn.has(name))
      const isThere = isPlain && (yield* parser.hasPlace(statement, offset))
      return isThere ? before + Failure.position(failure.type, statement, offset) : undefined
    }).pipe(Effect.orElseSucceed(() => undefined))

/** It stands alone, behind something, or in parentheses of our own. */
const startOf = (statement: string, sql: string): number => {
  if (sql.endsWith(statement)) return sql.length - statement.length
  const opening = sql.indexOf(`(\n${statement}\n)`)
  return opening === -1 ? -1 : opening + 2
}
