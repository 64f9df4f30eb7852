/**
 * Splits `EXPLAIN` from the statement that it explains, and joins them again.
 *
 * The statement is judged alone, as if a client had sent it, and a new `EXPLAIN` is put before it. So nothing
 * depends on where the text is cut: everything that runs has been judged.
 */
import { VARCHAR } from "@duckdb/node-api"
import type { ResultColumn } from "./TextSql.ts"
import * as Words from "./Words.ts"

/** A text that begins with `EXPLAIN`. */
export interface Explain {
  readonly analyze: boolean
  /** One of {@link formats}, or the client's own text. */
  readonly format: string
  /** The rest, and the number of characters before it. */
  readonly statement: string
  readonly offset: number
}

/** The formats in which the files of a table can be found and hidden. */
export const formats: ReadonlySet<string> = new Set(["text", "json"])

/** The columns of every `EXPLAIN`. */
export const columns: ReadonlyArray<ResultColumn> = ["explain_key", "explain_value"].map((name) => ({
  name,
  type: VARCHAR
}))

const option = String.raw`(?:analy[sz]e(?:\s+true)?|format\s+'?\w+'?)`
const pattern = new RegExp(
  `^${Words.blank}*explain(?:${Words.blank}+(analy[sz]e)(?!\\w)|${Words.blank}*\\(\\s*(${option}(?:\\s*,\\s*${option})*)\\s*\\)|(?!\\w))`,
  "i"
)

/** Whether the statement begins with more options of `EXPLAIN`. */
export const hasOptions = (statement: string): boolean =>
  /^\s*\(\s*(analy[sz]e|format|verbose|codegen|costs|buffers|timing)\b/i.test(statement)

/** `undefined` if the text begins otherwise, or with unknown options. */
export const split = (sql: string): Explain | undefined => {
  const match = pattern.exec(sql)
  if (match === null) return undefined
  const [prefix, analyze, options = ""] = match
  return {
    analyze: analyze !== undefined || /analy/i.test(options),
    format: /format\s+'?(\w+)/i.exec(options)?.[1]?.toLowerCase() ?? "text",
    statement: sql.slice(prefix.length),
    offset: Array.from(prefix).length
  }
}

/** Options in parentheses keep the statement's own first words from being read as options. */
export const join = ({ analyze, format }: Explain, statement: string): string =>
  `EXPLAIN (${analyze ? "ANALYZE, " : ""}FORMAT ${format}) ${statement}`
