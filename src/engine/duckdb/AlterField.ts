/**
 * Statements `ALTER TABLE` that change a field of a column (`ADD COLUMN s.a …`).
 *
 * DuckDB gives its instance up if such a statement adds a field to a column that does not exist, or if it names
 * the column in other letters than the table (`S.a`).
 */
import * as Effect from "effect/Effect"
import { type QueryError, queryError } from "../QueryApi.ts"
import * as Failure from "./Failure.ts"
import type { Session } from "./Session.ts"
import * as Sql from "./Sql.ts"

/** A change of a field. */
export interface Change {
  /** The name of the table, quoted. */
  readonly table: string
  readonly adds: boolean
  /** The column of the field, as it is written. */
  readonly column: string
}

/** What DuckDB's parser takes for blanks. */
const blank = String.raw`[ \t-\r\u00a0\u2000-\u200d\u202f\u205f\u2060\u3000\ufeff]`
const blanks = new RegExp(String.raw`${blank}+|--[^\n\r]*`, "y")

const token = new RegExp(
  String.raw`"(?<name>(?:[^"]|"")*)"|(?<word>(?:(?!${blank})[\w$\u0080-\uffff])+)|[^]`,
  "y"
)

/** The end of a comment, within which there may be others. */
const endOfComment = (sql: string, start: number): number => {
  let depth = 0
  for (const { 0: mark, index } of sql.slice(start).matchAll(/\/\*|\*\//g)) {
    depth += mark === "/*" ? 1 : -1
    if (depth === 0) return start + index + mark.length
  }
  return sql.length
}

/** Reads a statement from its beginning, as far as it is asked to. */
class Reader {
  private readonly sql: string
  private at = 0

  constructor(sql: string) {
    this.sql = sql
  }

  private peek(): RegExpExecArray | null {
    for (;;) {
      blanks.lastIndex = this.at
      if (blanks.test(this.sql)) this.at = blanks.lastIndex
      else if (this.sql.startsWith("/*", this.at)) this.at = endOfComment(this.sql, this.at)
      else break
    }
    token.lastIndex = this.at
    return token.exec(this.sql)
  }

  /** Whether these words or signs follow, which are passed then. */
  passes(...expected: ReadonlyArray<string>): boolean {
    const start = this.at
    for (const each of expected) {
      const found = this.peek()?.[0]
      if (found?.toLowerCase() !== each) {
        this.at = start
        return false
      }
      this.at += found.length
    }
    return true
  }

  /** A name, with or without quotes. */
  name(): string | undefined {
    const { 0: found = "", groups = {} } = this.peek() ?? {}
    const name = groups["word"] ?? groups["name"]?.replaceAll('""', '"')
    if (name !== undefined) this.at += found.length
    return name
  }
}

/** The change of a field that a statement makes, if it makes one. */
export const of = (sql: string): Change | undefined => {
  const reader = new Reader(sql)
  while (reader.passes(";")) {}
  if (!reader.passes("alter", "table")) return undefined
  reader.passes("if", "exists")
  reader.passes("only")
  reader.passes("(")
  const table: Array<string> = []
  do table.push(Sql.identifier(reader.name() ?? ""))
  while (reader.passes("."))
  reader.passes(")")
  reader.passes("*")
  const adds = reader.passes("add")
  if (!adds && !reader.passes("drop") && !reader.passes("rename")) return undefined
  reader.passes("column")
  if (!reader.passes("if", "not", "exists")) reader.passes("if", "exists")
  const column = reader.name()
  return column !== undefined && reader.passes(".") ? { table: table.join("."), adds, column } : undefined
}

/** Fails if DuckDB would give its instance up: the column of the field does not exist, or has other letters. */
export const check = Effect.fnUntraced(function* (
  session: Session,
  sql: string
): Effect.fn.Return<void, QueryError> {
  const change = of(sql)
  if (change === undefined) return
  const { adds, column, table } = change
  const columns = yield* Effect.catch(
    session.call(async (connection) => {
      const info = `SELECT name FROM system.main.pragma_table_info(${Sql.literal(table)})`
      return (await connection.runAndReadAll(info)).getRows().map(([name]) => String(name))
    }),
    // There may be no table (`IF EXISTS`).
    (failure) =>
      failure.type === "Catalog" ? Effect.undefined : Effect.fail(Failure.toReject(failure, undefined))
  )
  if (columns === undefined || columns.includes(column)) return
  const similar = columns.find((name) => name.toLowerCase() === column.toLowerCase())
  if (similar !== undefined) {
    return yield* queryError(
      "invalid_query",
      `Write the column ${Sql.identifier(column)} as the table does, ${Sql.identifier(similar)}, to change its fields`
    )
  }
  if (!adds) return
  return yield* queryError("not_found", `The table has no column ${Sql.identifier(column)} to add a field to`)
})
