/**
 * The records of `format=events`, read from the chunks of a response. Pure.
 */
import type { Column, QueryError, Row } from "./Messages.ts"

export type Record =
  | { readonly type: "columns"; readonly queryId: string; readonly columns?: ReadonlyArray<Column> }
  | { readonly type: "rows"; readonly rows: ReadonlyArray<Row> }
  | { readonly type: "progress"; readonly fraction?: number }
  | { readonly type: "end"; readonly receipt: { readonly rows?: number } }
  | { readonly type: "error"; readonly error: QueryError }

const prefix = '{"type":"rows","rows":['
const suffix = "]}"

/** The JSON of a record's rows, without brackets. */
export const rowsText = (line: string, rows: ReadonlyArray<Row>): string =>
  line.startsWith(prefix) && line.endsWith(suffix)
    ? line.slice(prefix.length, -suffix.length)
    : JSON.stringify(rows).slice(1, -1)

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
