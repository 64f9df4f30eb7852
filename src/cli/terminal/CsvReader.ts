/**
 * Reads the rows of a CSV result (RFC 4180) from pieces, cut anywhere.
 *
 * **Details**
 *
 * An empty field without quotes is NULL, `""` is the empty string. Only the beginning of each field is kept,
 * so that memory does not grow with the values.
 */

/** A field of a row: its text, or NULL. */
export type Field = string | null

export class CsvReader {
  private readonly maxLength: number
  private fields: Array<Field> = []
  private text = ""
  private isQuoted = false
  private state: "start" | "plain" | "quoted" | "quote" = "start"
  private hasRow = false

  /** Keeps no more than `maxLength` UTF-16 units of a field. */
  constructor(maxLength: number) {
    this.maxLength = maxLength
  }

  /** The rows that the piece completes; the first of all is the header. */
  push(piece: string): ReadonlyArray<ReadonlyArray<Field>> {
    const rows: Array<ReadonlyArray<Field>> = []
    let at = 0
    while (at < piece.length) {
      if (this.state === "quoted") at = this.inQuotes(piece, at)
      else if (this.state === "quote") at = this.behindQuote(piece, at)
      else at = this.outside(piece, at, rows)
    }
    return rows
  }

  /** The last row, if it did not end with a line break. */
  end(): ReadonlyArray<ReadonlyArray<Field>> {
    const rows: Array<ReadonlyArray<Field>> = []
    if (this.hasRow) this.endRow(rows)
    return rows
  }

  private inQuotes(piece: string, at: number): number {
    const close = piece.indexOf('"', at)
    this.append(piece, at, close === -1 ? piece.length : close)
    if (close === -1) return piece.length
    this.state = "quote"
    return close + 1
  }

  /** A doubled quote is one quote; anything else ends the quoted part. */
  private behindQuote(piece: string, at: number): number {
    if (piece[at] !== '"') {
      this.state = "plain"
      return at
    }
    this.append(piece, at, at + 1)
    this.state = "quoted"
    return at + 1
  }

  private outside(piece: string, at: number, rows: Array<ReadonlyArray<Field>>): number {
    this.hasRow = true
    let end = at
    while (end < piece.length && piece[end] !== "," && piece[end] !== "\n" && piece[end] !== '"') end++
    this.append(piece, at, end)
    if (end > at) this.state = "plain"
    if (end === piece.length) return end
    if (piece[end] === '"') {
      this.isQuoted = true
      this.state = "quoted"
    } else if (piece[end] === ",") this.endField()
    else this.endRow(rows)
    return end + 1
  }

  private append(piece: string, from: number, to: number): void {
    const room = this.maxLength - this.text.length
    if (room > 0 && to > from) this.text += piece.slice(from, Math.min(to, from + room))
  }

  private endField(): void {
    this.fields.push(this.text === "" && !this.isQuoted ? null : this.text)
    this.text = ""
    this.isQuoted = false
    this.state = "start"
  }

  private endRow(rows: Array<ReadonlyArray<Field>>): void {
    // The carriage return of the line break; others have been escaped, or are within quotes.
    if (this.text.endsWith("\r")) this.text = this.text.slice(0, -1)
    this.endField()
    rows.push(this.fields)
    this.fields = []
    this.hasRow = false
  }
}
