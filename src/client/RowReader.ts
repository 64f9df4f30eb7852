/**
 * Reads rows from the bytes of NDJSON, however they are split. Plain data, without clock or fiber.
 *
 * All whole lines are parsed at once, as a list, which is faster than one by one. If that fails, or a number
 * would lose digits, they are parsed one by one, which decides about each row.
 */
import { Buffer, isAscii, isUtf8 } from "node:buffer"
import { excerpt, RowError, RowMalformed, RowTooLong } from "./RowError.ts"
import * as RowNumbers from "./RowNumbers.ts"

/**
 * A row without a schema: JSON values by the names of their columns.
 *
 * @category models
 * @since 0.1.0
 */
export interface Row {
  readonly [column: string]: unknown
}

export interface Options {
  /** In bytes, without the line break. */
  readonly maxRowSize: number
  readonly numbers: RowNumbers.Numbers
}

const smallest = 4 * 1024
/** Memory beyond this is freed after the long row that needed it. */
const largest = 1024 * 1024
const lineFeed = 0x0a
const carriageReturn = 0x0d
const openBracket = 0x5b
const comma = 0x2c
const closeBracket = 0x5d
const openBrace = 0x7b
const closeBrace = 0x7d

const isRow = (value: unknown): value is Row =>
  typeof value === "object" && value !== null && !Array.isArray(value)

export class RowReader {
  /** The error of the row after those that were taken. */
  problem: RowError | undefined
  /** The number of rows that were taken. */
  count = 0
  private readonly options: Options
  /** An opening bracket, and the bytes since the last row that was taken. */
  private held = Buffer.of(openBracket)
  private end = 1
  /** There is no line break before this offset. */
  private searched = 1

  constructor(options: Options) {
    this.options = options
  }

  /** Copies bytes of the result. */
  add(bytes: Uint8Array): void {
    const needed = this.end + bytes.length + 1
    if (needed > this.held.length) this.resize(Math.max(smallest, 2 * needed))
    this.held.set(bytes, this.end)
    this.end += bytes.length
  }

  /** Takes the whole rows, up to a malformed one. */
  take(): ReadonlyArray<Row> {
    if (this.problem !== undefined) return []
    const last = this.held.subarray(this.searched, this.end).lastIndexOf(lineFeed)
    const rows = last === -1 ? [] : this.takeLines(this.searched + last)
    this.searched = this.end
    if (this.lineEnd(1, this.end) - 1 > this.options.maxRowSize) this.fail(this.tooLong())
    return rows
  }

  /** The end of the input: takes the last row, which need not have a line break. */
  finish(): ReadonlyArray<Row> {
    this.add(Buffer.of(lineFeed))
    return this.take()
  }

  /** Takes and removes the rows before a line break. */
  private takeLines(lineBreak: number): ReadonlyArray<Row> {
    const breaks = this.breaks(lineBreak)
    const rows = this.atOnce(lineBreak, breaks) ?? this.oneByOne(breaks)
    this.held[0] = openBracket
    this.held.copyWithin(1, lineBreak + 1, this.end)
    this.end -= lineBreak
    if (this.held.length > largest && 2 * this.end < largest) this.resize(Math.max(smallest, 2 * this.end))
    return rows
  }

  /** The offsets of line ends. Turns the lines into a list. */
  private breaks(lineBreak: number): ReadonlyArray<number> {
    const list = this.held.subarray(0, lineBreak)
    const breaks: Array<number> = []
    for (let at = list.indexOf(lineFeed, 1); at !== -1; at = list.indexOf(lineFeed, at + 1)) {
      list[at] = comma
      breaks.push(at)
    }
    breaks.push(lineBreak)
    this.held[lineBreak] = closeBracket
    return breaks
  }

  /** The end of a line before a break of one or two bytes. */
  private lineEnd(start: number, end: number): number {
    return end > start && this.held[end - 1] === carriageReturn ? end - 1 : end
  }

  /**
   * Whether each line begins and ends as an object: otherwise two lines that form one object would compensate
   * for a line with two.
   */
  private areObjects(breaks: ReadonlyArray<number>): boolean {
    let start = 1
    for (const end of breaks) {
      if (this.held[start] !== openBrace || this.held[this.lineEnd(start, end) - 1] !== closeBrace)
        return false
      start = end + 1
    }
    return true
  }

  private atOnce(lineBreak: number, breaks: ReadonlyArray<number>): ReadonlyArray<Row> | undefined {
    const { maxRowSize, numbers } = this.options
    if (lineBreak - 1 > maxRowSize || !this.areObjects(breaks)) return undefined
    if (RowNumbers.mayLose(this.held, 1, lineBreak, numbers)) return undefined
    const text = this.text(0, lineBreak + 1)
    if (text === undefined || RowNumbers.mayExceed(text, numbers)) return undefined
    try {
      const rows: ReadonlyArray<unknown> = JSON.parse(text)
      if (rows.length !== breaks.length || !rows.every(isRow)) return undefined
      this.count += rows.length
      return rows
    } catch {
      return undefined
    }
  }

  private oneByOne(breaks: ReadonlyArray<number>): ReadonlyArray<Row> {
    const rows: Array<Row> = []
    let start = 1
    for (const end of breaks) {
      const row = this.line(start, end)
      start = end + 1
      if (row instanceof RowError) {
        this.problem = row
        break
      }
      if (row === undefined) continue
      rows.push(row)
      this.count++
    }
    return rows
  }

  /** The row of a line; an empty line has none. */
  private line(start: number, end: number): Row | RowError | undefined {
    const { maxRowSize, numbers } = this.options
    if (this.lineEnd(start, end) - start > maxRowSize) return this.tooLong()
    const text = this.text(start, end)
    if (text === undefined) return this.malformed("not UTF-8")
    if (text.trim() === "") return undefined
    try {
      const mayChange =
        RowNumbers.mayLose(this.held, start, end, numbers) || RowNumbers.mayExceed(text, numbers)
      const row = mayChange ? RowNumbers.parse(text, numbers) : JSON.parse(text)
      return isRow(row) ? row : this.malformed(`no object: ${excerpt(JSON.stringify(text))}`)
    } catch {
      return this.malformed(`not JSON: ${excerpt(JSON.stringify(text))}`)
    }
  }

  private text(start: number, end: number): string | undefined {
    const bytes = this.held.subarray(start, end)
    if (isAscii(bytes)) return bytes.toString("latin1")
    return isUtf8(bytes) ? bytes.toString() : undefined
  }

  private resize(size: number): void {
    const held = Buffer.allocUnsafe(size)
    held.set(this.held.subarray(0, this.end))
    this.held = held
  }

  private fail(error: RowError): void {
    this.problem ??= error
  }

  private tooLong(): RowError {
    return new RowError({
      reason: new RowTooLong({ row: this.count + 1, maxRowSize: this.options.maxRowSize })
    })
  }

  private malformed(detail: string): RowError {
    return new RowError({ reason: new RowMalformed({ row: this.count + 1, detail }) })
  }
}
