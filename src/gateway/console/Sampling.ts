/**
 * A summary of arriving rows, from which any chart of them is drawn. Its size is bounded: it consists of
 * stretches of rows, and when they are too many, each two are merged. A stretch keeps the least and the
 * greatest value of each column, so that no peak is lost. Pure.
 */
import * as Format from "./Format.ts"
import type { Column, Row, Sample, SampleRequest } from "./Messages.ts"

/** The maximum number of stretches. Even, so that all can be merged in pairs. */
const maxStretches = 4096
/** The maximum number of stretches times columns: wide results have longer stretches. */
const maxCells = 1_000_000
/** Longer values are truncated: this much fits beside a point. */
const maxLabel = 40

/** A value of a numeric column; integers and decimals may come as text. */
const numeric = (value: unknown): number | null => {
  if (typeof value !== "number" && (typeof value !== "string" || value === "")) return null
  const number = Number(value)
  return Number.isFinite(number) ? number : null
}

/** A value to show beside a point. */
const brief = (value: unknown): unknown => {
  if (typeof value !== "string" && typeof value !== "object") return value
  const text = Format.cell(value) ?? null
  if (text === null) return null
  // A part of a text retains all of it, and a value may be a part of its record's.
  const copy = Array.from(text.slice(0, maxLabel)).join("")
  return text.length > maxLabel ? `${copy}…` : copy
}

/** A column of the summary, with values for each stretch. */
interface Series {
  readonly name: string
  readonly isNumeric: boolean
  readonly first: Array<unknown>
  readonly last: Array<unknown>
  readonly least: Array<number | null>
  readonly greatest: Array<number | null>
}

const lesser = (a: number | null, b: number | null): number | null =>
  a === null || (b !== null && b < a) ? b : a

const greater = (a: number | null, b: number | null): number | null =>
  a === null || (b !== null && b > a) ? b : a

export class Summary {
  private readonly columns: ReadonlyArray<Series>
  private readonly capacity: number
  private rowsPerStretch = 1
  private total = 0
  private lastRow: Row = {}

  constructor(columns: ReadonlyArray<Column>) {
    this.columns = columns.map(({ name, type }) => ({
      name,
      isNumeric: Format.isNumeric(type),
      first: [],
      last: [],
      least: [],
      greatest: []
    }))
    this.capacity = Math.min(maxStretches, Math.max(2, 2 * Math.floor(maxCells / columns.length / 2)))
  }

  push(rows: ReadonlyArray<Row>): void {
    for (const row of rows) this.add(row)
  }

  private add(row: Row): void {
    if (this.total === this.capacity * this.rowsPerStretch) this.halve()
    const at = Math.floor(this.total / this.rowsPerStretch)
    const isFirst = this.total % this.rowsPerStretch === 0
    this.total++
    this.lastRow = row
    for (const column of this.columns) {
      if (!column.isNumeric) continue
      const value = numeric(row[column.name])
      column.least[at] = isFirst ? value : lesser(column.least[at] ?? null, value)
      column.greatest[at] = isFirst ? value : greater(column.greatest[at] ?? null, value)
    }
    if (isFirst) for (const column of this.columns) column.first[at] = along(column, row)
    if (this.total % this.rowsPerStretch > 0) return
    for (const column of this.columns) column.last[at] = along(column, row)
  }

  /** Merges each two stretches. */
  private halve(): void {
    this.rowsPerStretch *= 2
    for (const { first, greatest, last, least } of this.columns) {
      for (let at = 0; at * 2 < this.capacity; at++) {
        first[at] = first[at * 2]
        last[at] = last[at * 2 + 1]
        least[at] = lesser(least[at * 2] ?? null, least[at * 2 + 1] ?? null)
        greatest[at] = greater(greatest[at * 2] ?? null, greatest[at * 2 + 1] ?? null)
      }
      for (const values of [first, last, least, greatest])
        values.length = Math.min(values.length, this.capacity / 2)
    }
  }

  /** The points of a chart: one for each row, or two for each stretch. */
  sample({ x, ys }: SampleRequest): Sample {
    const { rowsPerStretch, total } = this
    const isReduced = rowsPerStretch > 1
    const stretches = Array.from({ length: Math.ceil(total / rowsPerStretch) }, (_, at) => at)
    const points = <A>(first: (at: number) => A, last: (at: number) => A): ReadonlyArray<A> =>
      stretches.flatMap((at) => (isReduced ? [first(at), last(at)] : [first(at)]))
    const column = this.columns.find(({ name }) => name === x)
    return {
      rows: points(
        (at) => at * rowsPerStretch + 1,
        (at) => Math.min((at + 1) * rowsPerStretch, total)
      ),
      x: points(
        (at) => column?.first[at],
        // The last stretch is incomplete.
        (at) => (column === undefined || at in column.last ? column?.last[at] : along(column, this.lastRow))
      ),
      ys: ys.map((y) => {
        const values = this.columns.find(({ name }) => name === y)
        return points(
          (at) => values?.least[at] ?? null,
          (at) => values?.greatest[at] ?? null
        )
      }),
      total,
      isReduced
    }
  }
}

const along = ({ isNumeric, name }: Series, row: Row): unknown =>
  isNumeric ? numeric(row[name]) : brief(row[name])
