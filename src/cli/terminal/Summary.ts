/**
 * The summary below a result.
 */
import type { Progress } from "../Execution.ts"
import * as Stopwatch from "../Stopwatch.ts"

export interface Options {
  /** Whether the rows of a table are counted. */
  readonly rows: boolean
  /** Whether times are included. */
  readonly timing: boolean
}

const count = (rows: number): string => (rows === 1 ? "1 row" : `${rows} rows`)

const rowsOf = ({ elapsed, table }: Progress): ReadonlyArray<string> => {
  if (table === undefined) return []
  const rows = `${table.isFull ? "the first " : ""}${count(table.rows)} in ${Stopwatch.text(elapsed)}`
  return [
    `(${rows})`,
    ...(table.isFull ? ["There are more rows, which were not asked for (limit)."] : []),
    ...(table.hasCut ? ["Values that end with … are longer; vertical and csv show more of them."] : [])
  ]
}

const timeOf = ({ acceptedAfter, bytes, elapsed, firstByteAfter }: Progress): string => {
  const parts = [
    ...(acceptedAfter === undefined ? [] : [`accepted after ${Stopwatch.text(acceptedAfter)}`]),
    ...(firstByteAfter === undefined ? [] : [`first byte after ${Stopwatch.text(firstByteAfter)}`]),
    Stopwatch.bytes(bytes)
  ]
  return `Time: ${Stopwatch.text(elapsed)} (${parts.join(", ")})`
}

/** The lines, or an empty text. Must be called after the end of the result. */
export const make =
  (progress: Progress, { rows, timing }: Options) =>
  (): string =>
    [...(rows ? rowsOf(progress) : []), ...(timing ? [timeOf(progress)] : [])].join("\n")
