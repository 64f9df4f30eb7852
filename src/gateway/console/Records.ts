/**
 * The records of `format=events`, read from the chunks of a response. Pure.
 */
import * as Json from "./Json.ts"
import type { Column, QueryError, Row } from "./Messages.ts"

export type Record =
  | { readonly type: "columns"; readonly queryId: string; readonly columns?: ReadonlyArray<Column> }
  | { readonly type: "progress"; readonly fraction?: number }
  | { readonly type: "end"; readonly receipt: { readonly rows?: number } }
  | { readonly type: "error"; readonly error: QueryError }

const prefix = '{"type":"rows","rows":['
const suffix = "]}"

/** The JSON of a record's rows, without brackets; `undefined` for other records. */
export const rowsText = (line: string): string | undefined => {
  if (line.startsWith(prefix) && line.endsWith(suffix)) return line.slice(prefix.length, -suffix.length)
  // Other servers may write the same in another way.
  return Json.member(line, "type") === '"rows"' ? Json.member(line, "rows")?.slice(1, -1) : undefined
}

/** A pattern with more groups would take long to compile. */
const maxColumns = 100
/** Longer texts have long values, for which matching would need a deep stack. */
const maxMatched = 1024 * 1024

const string = String.raw`"([^"\\]*(?:\\.[^"\\]*)*)"`
const other = String.raw`(-?\d[\d.eE+-]*|null|true|false)`

const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")

const value = (text: string | undefined, literal: string | undefined): unknown =>
  text === undefined ? JSON.parse(literal ?? "null") : text.includes("\\") ? JSON.parse(`"${text}"`) : text

const isNested = ({ type }: Column): boolean => /^(?:JSON|STRUCT|MAP|UNION)|\]$/.test(type)

/**
 * A parser of rows with these columns.
 *
 * V8's `JSON.parse` looks up each string of at most 10 characters in a table of all of them. Integers lie
 * side by side there, and every other string that falls among many of them takes a thousand steps. Rows
 * without nested values are therefore read by a pattern, and others value by value.
 */
export const rowParser = (columns: ReadonlyArray<Column>): ((text: string) => ReadonlyArray<Row>) => {
  const names = columns.map(({ name }) => name)
  const ofJson = new Set(columns.filter(({ type }) => type === "JSON").map(({ name }) => name))
  const parse = (text: string): ReadonlyArray<Row> => Json.rows(text, (name) => ofJson.has(name))
  if (names.length === 0 || names.length > maxColumns || names.includes("__proto__")) return parse
  if (columns.some(isNested)) return parse
  const members = names.map((name) => `${escaped(JSON.stringify(name))}:(?:${string}|${other})`)
  const pattern = new RegExp(String.raw`\{${members.join(",")}\}(?:,|$)`, "y")
  return (text) => {
    if (text.length > maxMatched) return parse(text)
    const rows: Array<Row> = []
    for (pattern.lastIndex = 0; pattern.lastIndex < text.length; ) {
      const found = pattern.exec(text)
      if (found === null) return parse(text)
      const row: { [name: string]: unknown } = {}
      for (let at = 0; at < names.length; at++)
        row[names[at] as string] = value(found[2 * at + 1], found[2 * at + 2])
      rows.push(row)
    }
    return rows
  }
}

/** Splits text into lines, with any borders of its chunks. */
export class Lines {
  private rest: Array<string> = []

  push(text: string): ReadonlyArray<string> {
    const lines = text.split("\n")
    if (lines.length === 1) {
      this.rest.push(text)
      return []
    }
    const first = [...this.rest, lines[0]].join("")
    const last = lines.at(-1) ?? ""
    this.rest = last === "" ? [] : [last]
    return [first, ...lines.slice(1, -1)]
  }
}
