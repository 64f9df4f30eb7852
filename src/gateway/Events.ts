/**
 * The records of `format=events`: NDJSON that includes the end of the result. `columns`, then `rows` and
 * `progress`, then exactly one `end` or `error`. Pure.
 */
import type { Column } from "../engine/QueryApi.ts"
import type * as QueryEngine from "../engine/QueryEngine.ts"
import * as Chunk from "../net/Chunk.ts"
import * as GatewayError from "./GatewayError.ts"

const encoder = new TextEncoder()

const record = (type: string, members: object): Uint8Array =>
  encoder.encode(`${JSON.stringify({ type, ...members })}\n`)

export const columns = (queryId: string, columns: ReadonlyArray<Column> | undefined): Uint8Array =>
  record("columns", { queryId, ...(columns === undefined ? {} : { columns }) })

/** The size of the result so far, and the engine's progress, if known. */
export interface Progress extends QueryEngine.Progress {
  readonly rows: number
  readonly bytes: number
  readonly elapsedMs: number
}

export const progress = (progress: Progress): Uint8Array => record("progress", progress)

export const end = (receipt: object): Uint8Array => record("end", { receipt })

export const error = (queryId: string, error: GatewayError.GatewayError): Uint8Array =>
  record("error", { queryId, error: GatewayError.toJson(error) })

const newline = 0x0a
const space = 0x20
const comma = 0x2c
const byteOrderMark = [0xef, 0xbb, 0xbf]
const opening = encoder.encode('{"type":"rows","rows":[')
const closing = encoder.encode("]}\n")

/** Whether there is only white space between two offsets. */
const isBlank = (bytes: Uint8Array, start: number, end: number): boolean => {
  let at = start
  while (
    at < end &&
    ((bytes[at] as number) === space || ((bytes[at] as number) >= 9 && (bytes[at] as number) <= 13))
  )
    at++
  return at === end
}

/** The end of a result is not NDJSON, or a row exceeds the buffer. */
export class RowError extends Error {}

/**
 * Converts the back-end's NDJSON, in chunks with any borders, to `rows` records. The only line break of a
 * line is the one that ends it, so the records are made of the bytes, and no row is parsed except a last one
 * without a line break.
 */
export class RowRecords {
  private readonly maxRowSize: number
  /** The beginning of an incomplete row. */
  private held: Array<Uint8Array> = []
  private heldSize = 0
  private isFirst = true
  rows = 0

  constructor(maxRowSize: number) {
    this.maxRowSize = maxRowSize
  }

  /**
   * The record of the rows that are complete by now. Keeps no reference to the chunks. Throws a `RowError`.
   */
  push(chunks: ReadonlyArray<Uint8Array>): Uint8Array | undefined {
    const last = chunks.findLastIndex((chunk) => chunk.lastIndexOf(newline) >= 0)
    if (last < 0) {
      for (const chunk of chunks) this.hold(chunk)
      return undefined
    }
    const cut = (chunks[last] as Uint8Array).lastIndexOf(newline)
    const parts = [...this.held, ...chunks.slice(0, last), (chunks[last] as Uint8Array).subarray(0, cut)]
    const made = this.join(parts)
    this.held = []
    this.heldSize = 0
    this.hold((chunks[last] as Uint8Array).subarray(cut + 1))
    for (const chunk of chunks.slice(last + 1)) this.hold(chunk)
    return made
  }

  private hold(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.heldSize += bytes.length
    if (this.heldSize > this.maxRowSize) {
      throw new RowError(`A row is longer than ${this.maxRowSize} bytes (maxEventRowSize)`)
    }
    this.held.push(Chunk.copied(bytes))
  }

  private join(parts: ReadonlyArray<Uint8Array>): Uint8Array | undefined {
    let size = opening.length + closing.length
    for (const part of parts) size += part.length
    const bytes = new Uint8Array(size)
    bytes.set(opening)
    let end = opening.length
    for (const part of parts) {
      bytes.set(part, end)
      end += part.length
    }
    if (this.isFirst && byteOrderMark.every((byte, at) => bytes[opening.length + at] === byte)) {
      bytes.fill(space, opening.length, opening.length + byteOrderMark.length)
    }
    this.isFirst = false
    const before = this.rows
    for (let start = opening.length; start < end; ) {
      const found = bytes.indexOf(newline, start)
      const next = found < 0 ? end : found
      if (!isBlank(bytes, start, next)) {
        // Replaces the line break before the row.
        if (this.rows > before) bytes[start - 1] = comma
        this.rows++
      }
      bytes[next] = space
      start = next + 1
    }
    bytes.set(closing, end)
    return this.rows > before ? bytes : undefined
  }

  /**
   * The record of a last row without a line break, once the result is complete. Throws a `RowError` if it is
   * not a row.
   */
  finish(): Uint8Array | undefined {
    if (this.heldSize === 0) return undefined
    const made = this.join(this.held)
    if (made === undefined) return undefined
    try {
      JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(made))
    } catch {
      throw new RowError("The back-end's result ends within a row")
    }
    return made
  }
}
