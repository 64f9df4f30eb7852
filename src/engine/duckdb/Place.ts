/**
 * The place in a client's text of a failure that DuckDB found in SQL made from that text.
 *
 * DuckDB also reports places in the texts of views, macros, defaults and served files, as if they were places
 * in the statement. For a failure to bind, repeating it tells them apart ({@link ofBinding}). For a statement
 * that ran, its place counts only if the statement names nothing that has a text of its own, and if the
 * parser's tree has a node there.
 */
import { Buffer } from "node:buffer"
import * as Effect from "effect/Effect"
import * as Failure from "./Failure.ts"
import type { Guard } from "./Guard.ts"
import type { Session } from "./Session.ts"
import * as Words from "./Words.ts"

/**
 * The 1-based character of the client's text, for a failure of SQL that contains it; `undefined` if unknown.
 */
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

/** The statement stands alone, at the end, or in parentheses that the engine adds. */
const startOf = (statement: string, sql: string): number => {
  if (sql.endsWith(statement)) return sql.length - statement.length
  const opening = sql.indexOf(`(\n${statement}\n)`)
  return opening === -1 ? -1 : opening + 2
}

/**
 * The 1-based character of a statement that DuckDB could not bind. With a blank before the statement, DuckDB
 * reports the same one place further on, unless the place is in another text. Ends the session's transaction,
 * which the failure may have broken.
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
