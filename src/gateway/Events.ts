/**
 * The records of `format=events`: NDJSON that says how the result ended. `columns`, then `rows` and `progress`, then
 * exactly one `end` or `error`. Pure.
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

/** What has come, and how far the engine is, where that is known. */
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
const comma = 0x2c
const opening = encoder.encode('{"type":"rows","rows":[')
const closing = encoder.encode("]}\n")

/** A result that ended within a row, or a row that is longer than is held. */
export class RowError extends Error {}

/**
 * Turns the back-end's NDJSON, in chunks with any borders, into `rows` records. A line has no line break but the one
 * that ends it, so the records are made of the bytes, and no row is parsed.
 */
export class RowRecords {
  private readonly maxRowSize: number
  /** The beginning of a row whose end has not come. */
  private held: Array<Uint8Array> = []
  private heldSize = 0
  rows = 0

  constructor(maxRowSize: number) {
    this.maxRowSize = maxRowSize
  }

  /** The record of the rows that are whole by now. The chunks are not referred to afterwards. Throws a `RowError`. */
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

  private join(parts: ReadonlyArray<Uint8Array>): Uint8Array {
    let size = opening.length + closing.length
    for (const part of parts) size += part.length
    const bytes = new Uint8Array(size)
    bytes.set(opening)
    let at = opening.length
    for (const part of parts) {
      bytes.set(part, at)
      at += part.length
    }
    for (let found = bytes.indexOf(newline, opening.length); found >= 0 && found < at; ) {
      bytes[found] = comma
      this.rows++
      found = bytes.indexOf(newline, found + 1)
    }
    this.rows++
    bytes.set(closing, at)
    return bytes
  }

  /** The result is whole. Throws a `RowError` if it ended within a row. */
  finish(): void {
    if (this.heldSize > 0) throw new RowError("The back-end's result ends within a row")
  }
}
