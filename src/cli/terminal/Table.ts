/**
 * Rows as an aligned table, or each row on its side where the columns do not fit.
 *
 * **Details**
 *
 * The first rows decide the widths of the columns, and whether the table is upright. Later rows are written
 * as they arrive, so that no result is kept as a whole. A later value that is longer than its column pushes
 * the rest of its line to the right.
 */
import * as Printable from "../../server/Printable.ts"
import type { Field } from "./CsvReader.ts"
import type { Style } from "./Style.ts"
import * as Width from "./Width.ts"

/** Whether a table is turned on its side if necessary, never, or always. */
export type Layout = "auto" | "table" | "vertical"

export interface Options {
  /** The columns of the terminal; if absent, the width is unlimited. */
  readonly columns: number | undefined
  readonly layout: Layout
  readonly style: Style
  /** The types of the columns, by the engine's names. Numbers are aligned right. */
  readonly types: ReadonlyArray<string>
  /** Rows beyond these are not shown. */
  readonly maxRows: number
}

/** Longest value that is shown without a terminal, in columns. */
const longest = 65536

/** Columns are not narrowed below this to make room for others. */
const narrowest = 16

/** How many rows decide the layout. */
const sampleRows = 500

/** How many columns a value may take. */
const cellLimit = (columns: number | undefined): number => columns ?? longest

/** How much of a value is needed for its shown part, in UTF-16 units: a character may have several. */
export const fieldLimit = (columns: number | undefined): number => 4 * cellLimit(columns) + 16

const numbers =
  /^(U?(TINYINT|SMALLINT|INT|INTEGER|BIGINT|HUGEINT)|FLOAT|REAL|DOUBLE|BIGNUM|(DECIMAL|NUMERIC)\b[^[]*)$/i

/** Whether a column type, by the engine's name, is numeric. */
export const isNumber = (type: string): boolean => numbers.test(type)

/** A text on one line. The sign distinguishes a line break from a backslash and an n. */
const oneLine = (text: string): string => Printable.line(text.replaceAll("\n", "↵"))

interface Shape {
  readonly isVertical: boolean
  /** Columns to which each value is padded. */
  readonly widths: ReadonlyArray<number>
  /** Most columns of a value; a longer one is cut. */
  readonly limits: ReadonlyArray<number>
}

export class Table {
  private readonly options: Options
  private names: ReadonlyArray<string> | undefined
  private sides: ReadonlyArray<"left" | "right"> = []
  private sample: Array<ReadonlyArray<Field>> = []
  private shape: Shape | undefined
  private hasWaited = false
  /** How many rows are shown. */
  rows = 0
  /** Whether there were more rows than may be shown. */
  isFull = false
  /** Whether a value has been cut. */
  hasCut = false

  constructor(options: Options) {
    this.options = options
  }

  /**
   * Takes rows, the very first of which has the names of the columns, and returns the text
   * that can be written.
   */
  push(rows: ReadonlyArray<ReadonlyArray<Field>>): string {
    let text = ""
    for (const row of rows) {
      if (this.names === undefined) this.begin(row)
      else text += this.row(row)
    }
    return text
  }

  /** Called periodically: rows that have waited since the last call are written. */
  tick(): string {
    const isLate = this.hasWaited && this.sample.length > 0
    this.hasWaited = this.sample.length > 0
    return isLate ? this.flush() : ""
  }

  /** Decides the layout with the rows so far, and writes them. */
  private flush(): string {
    if (this.shape !== undefined || this.names === undefined) return ""
    this.shape = this.decide(this.names)
    const head = this.shape.isVertical ? "" : this.head(this.names, this.shape)
    const lines = this.sample.map((row, index) => this.lines(row, index + 1)).join("")
    this.sample = []
    return head + lines
  }

  /** The rest of the text. */
  end(): string {
    return this.flush()
  }

  private begin(header: ReadonlyArray<Field>): void {
    this.names = header.map((name) => oneLine(name ?? ""))
    const { types } = this.options
    this.sides = header.map((_, index) =>
      types.length === header.length && isNumber(types[index] ?? "") ? "right" : "left"
    )
  }

  private row(row: ReadonlyArray<Field>): string {
    if (this.rows >= this.options.maxRows) {
      this.isFull = true
      return ""
    }
    this.rows++
    if (this.shape !== undefined) return this.lines(row, this.rows)
    this.sample.push(row)
    return this.sample.length >= sampleRows ? this.flush() : ""
  }

  /** NULL is distinguished from the text of the same name as in DuckDB's lists: by the quotes of the text. */
  private value(field: Field, limit: number): string {
    if (field === null) return "NULL"
    const text = field === "NULL" ? "'NULL'" : oneLine(field)
    const isWhole = field.length < fieldLimit(this.options.columns)
    const shown = isWhole ? Width.cut(text, limit) : `${Width.take(text, limit - 1)}${Width.mark}`
    if (shown !== text) this.hasCut = true
    return shown
  }

  private lines(row: ReadonlyArray<Field>, number: number): string {
    const { names = [], shape } = this
    if (shape === undefined) return ""
    return shape.isVertical ? this.record(names, row, number, shape) : this.line(row, shape)
  }

  /** A line of cells, each with its own style. */
  private cells(
    texts: ReadonlyArray<string>,
    styles: ReadonlyArray<Style["bold"]>,
    { widths }: Shape
  ): string {
    const cells = texts.map((text, index) =>
      Width.pad(text, widths[index] ?? 0, this.sides[index] ?? "left", styles[index])
    )
    return `${` ${cells.join(" │ ")}`.trimEnd()}\n`
  }

  private line(row: ReadonlyArray<Field>, shape: Shape): string {
    const { dim } = this.options.style
    const texts = row.map((field, index) => this.value(field, shape.limits[index] ?? longest))
    return this.cells(
      texts,
      row.map((field) => (field === null ? dim : (text) => text)),
      shape
    )
  }

  private head(names: ReadonlyArray<string>, shape: Shape): string {
    const { bold } = this.options.style
    const texts = names.map((name, index) => Width.cut(name, shape.limits[index] ?? longest))
    const rule = shape.widths.map((width) => "─".repeat(width + 2)).join("┼")
    return `${this.cells(
      texts,
      names.map(() => bold),
      shape
    )}${rule}\n`
  }

  private record(
    names: ReadonlyArray<string>,
    row: ReadonlyArray<Field>,
    number: number,
    { limits, widths }: Shape
  ): string {
    const [nameWidth = 0] = widths
    const title = `─[ row ${number} ]`
    const rule = title.padEnd(Math.min(nameWidth + 20, this.options.columns ?? longest), "─")
    const lines = row.map((field, index) => {
      const name = Width.pad(Width.cut(names[index] ?? "", nameWidth), nameWidth, "left")
      const value = this.value(field, limits[0] ?? longest)
      return ` ${this.options.style.bold(name)} │ ${field === null ? this.options.style.dim(value) : value}`.trimEnd()
    })
    return `${this.options.style.dim(rule)}\n${lines.join("\n")}\n`
  }

  private decide(names: ReadonlyArray<string>): Shape {
    const { columns, layout } = this.options
    if (layout === "vertical") return vertical(names, columns)
    const most = cellLimit(columns)
    const natural = names.map((name, index) =>
      Math.max(
        Math.min(Width.of(name), most),
        ...this.sample.map((row) => Width.of(this.value(row[index] ?? null, most)))
      )
    )
    this.hasCut = false
    if (columns === undefined) return { isVertical: false, widths: natural, limits: natural.map(() => most) }
    const room = columns - 3 * names.length + 1
    const widths = narrowed(natural, this.sides, room)
    if (widths === undefined && layout === "auto") return vertical(names, columns)
    const shrunk = widths ?? natural
    return {
      isVertical: false,
      widths: shrunk,
      limits: shrunk.map((width, index) => (width < (natural[index] ?? 0) ? width : most))
    }
  }
}

const vertical = (names: ReadonlyArray<string>, columns: number | undefined): Shape => {
  const longestName = Math.max(0, ...names.map(Width.of))
  if (columns === undefined) return { isVertical: true, widths: [longestName], limits: [longest] }
  const nameWidth = Math.min(longestName, Math.max(1, Math.floor(columns / 2) - 4))
  return { isVertical: true, widths: [nameWidth], limits: [Math.max(1, columns - nameWidth - 4)] }
}

/**
 * Widths with a sum of at most `room`, by narrowing the widest text columns; `undefined` if that would narrow
 * them too much. A number is never cut.
 */
const narrowed = (
  natural: ReadonlyArray<number>,
  sides: ReadonlyArray<"left" | "right">,
  room: number
): ReadonlyArray<number> | undefined => {
  const least = natural.map((width, index) => (sides[index] === "right" ? width : Math.min(width, narrowest)))
  const at = (limit: number) =>
    natural.map((width, index) => Math.min(width, Math.max(limit, least[index] ?? width)))
  const total = (widths: ReadonlyArray<number>) => widths.reduce((sum, width) => sum + width, 0)
  if (total(least) > room) return undefined
  let limit = Math.max(0, ...natural)
  while (limit > 0 && total(at(limit)) > room) limit--
  return at(limit)
}
