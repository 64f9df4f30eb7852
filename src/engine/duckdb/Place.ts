/**
 * Where in a client's text a failure is that DuckDB found in SQL which was made of it.
 *
 * DuckDB also gives places in the texts of views, macros, defaults and served files, as if they were those of the
 * statement. A failure to bind tells them apart when it is caused again ({@link ofBinding}). One of a statement that ran
 * does not: its place counts only where the statement names nothing that has a text of its own, and where the parser's
 * tree of it has something.
 */
import { Buffer } from "node:buffer"
import * as Effect from "effect/Effect"
import * as Failure from "./Failure.ts"
import type { Guard } from "./Guard.ts"
import type { Session } from "./Session.ts"
import * as Words from "./Words.ts"

/** The 1-based character of the client's text, for a failure of SQL that holds it; `undefined` if it is not known. */
export type Locate = (failure: Failure.Failure, sql: string) => Effect.Effect<number | undefined>

/** Finds places in a statement that begins after so many characters of the client's text. */
export const of =
  (
    { builtIn, defined, parser }: Pick<Guard, "builtIn" | "defined" | "parser">,
    statement: string,
    before = 0
  ): Locate =>
  (failure, sql) =>
    Effect.gen(function* () {
      const start = startOf(statement, sql)
      if (failure.offset === undefined || start === -1) return undefined
      const offset = failure.offset - Buffer.byteLength(sql.slice(0, start))
      if (offset < 0 || offset >= Buffer.byteLength(statement)) return undefined
      const queries = yield* parser.parse(statement)
      const isText = typeof queries === "string"
      if (!isText && queries.functions.some((name) => !builtIn.has(name))) return undefined
      const isNamed = isText ? Words.mentions(statement) : (name: string) => queries.tables.includes(name)
      if ([...(yield* defined(isText ? "all" : "views"))].some(isNamed)) return undefined
      const isThere = yield* parser.hasPlace(statement, offset)
      return isThere ? before + Failure.position(failure.type, statement, offset) : undefined
    }).pipe(Effect.orElseSucceed(() => undefined))

/** It stands alone, behind something, or in parentheses of our own. */
const startOf = (statement: string, sql: string): number => {
  if (sql.endsWith(statement)) return sql.length - statement.length
  const opening = sql.indexOf(`(\n${statement}\n)`)
  return opening === -1 ? -1 : opening + 2
}

/**
 * The 1-based character of a statement that DuckDB could not bind. With a blank before it DuckDB says the same, one place
 * further on, unless the place is in another text. Ends the session's transaction, which the failure may have broken.
 */
export const ofBinding = (
  session: Session,
  statement: string,
  { message, offset, type }: Failure.Failure
): Effect.Effect<number | undefined> =>
  offset === undefined
    ? Effect.undefined
    : session
        .call(async (connection) => {
          await connection.run("ROLLBACK")
          await connection.prepare(` ${statement}`)
        })
        .pipe(
          Effect.match({
            onSuccess: () => undefined,
            onFailure: (again) =>
              again.message === message && again.offset === offset + 1
                ? Failure.position(type, statement, offset)
                : undefined
          })
        )
