/**
 * Reads the strings of a DuckDB vector as bytes, without making JavaScript strings of them.
 *
 * A VARCHAR vector is an array of 16-byte entries: the length in 4 bytes, then either up to 12 bytes of text
 * or a 4-byte prefix and an 8-byte pointer. Neighbours mostly point at neighbouring memory, so they are
 * fetched as runs, about 300 rows at a time.
 */
import type { DuckDBDataChunk } from "@duckdb/node-api"
import duckdb from "@duckdb/node-bindings"
import * as NonFinite from "./NonFinite.ts"
import type { Encoded } from "./ResultStream.ts"

/** The size that pieces are cut to at the next row, in bytes. */
const pieceBytes = 128 * 1024

/** No piece is longer than this, in bytes; a longer row is cut. */
const maxPieceBytes = 256 * 1024

const entryBytes = 16
const inlineBytes = 12

/**
 * Encodes chunks of one VARCHAR column whose last row, the sentinel, is NULL. `suspicious` says which pieces
 * may hold numbers that JSON has no word for.
 */
export const encoder =
  (suspicious: NonFinite.Suspicion | undefined) =>
  (chunk: DuckDBDataChunk): Encoded => {
    const rows = chunk.rowCount
    const vector = duckdb.data_chunk_get_vector(chunk.chunk, 0)
    const isLast = !isValid(vector, rows - 1, rows)
    return {
      pieces: pieces(vector, isLast ? rows - 1 : rows, suspicious),
      isLast: () => isLast,
      // Without it the memory waits for a garbage collection that does not know how much there is to gain.
      release: () => duckdb.data_chunk_reset(chunk.chunk)
    }
  }

const isValid = (vector: duckdb.Vector, row: number, rows: number): boolean => {
  const validity = duckdb.vector_get_validity(vector, Math.ceil(rows / 64) * 8)
  // Absent where every row is valid.
  return !validity || (((validity[row >> 3] as number) >> (row & 7)) & 1) === 1
}

function* pieces(
  vector: duckdb.Vector,
  rows: number,
  suspicious: NonFinite.Suspicion | undefined
): Generator<Uint8Array<ArrayBuffer>, void> {
  if (rows === 0) return
  const strings = new Strings(duckdb.vector_get_data(vector, rows * entryBytes), rows)
  while (!strings.atEnd) {
    let bytes = strings.read(pieceBytes)
    if (suspicious?.(bytes)) bytes = NonFinite.mend(bytes)
    for (let at = 0; at < bytes.length; at += maxPieceBytes) yield bytes.subarray(at, at + maxPieceBytes)
  }
}

/** A cursor over the entries of a vector. */
class Strings {
  private readonly bytes: Uint8Array
  private readonly words: Uint32Array
  private readonly rows: number
  private row = 0

  constructor(entries: Uint8Array, rows: number) {
    this.bytes = entries
    this.words = new Uint32Array(entries.buffer, entries.byteOffset, rows * 4)
    this.rows = rows
  }

  get atEnd(): boolean {
    return this.row === this.rows
  }

  /** Copies whole strings until there are `enough` bytes. */
  read(enough: number): Buffer<ArrayBuffer> {
    const first = this.row
    let total = 0
    while (this.row < this.rows && total < enough) total += this.length(this.row++)
    const target = Buffer.allocUnsafeSlow(total)
    let at = 0
    for (let row = first; row < this.row; ) {
      const length = this.length(row)
      if (length <= inlineBytes) {
        const start = row * entryBytes + 4
        target.set(this.bytes.subarray(start, start + length), at)
        at += length
        row++
      } else {
        const end = this.runEnd(row, this.row)
        const run = this.fetch(row, end)
        target.set(run, at)
        at += run.length
        row = end
      }
    }
    return target
  }

  private length(row: number): number {
    return this.words[row * 4] as number
  }

  /** The row after the last one whose text follows on from `start`'s in memory. */
  private runEnd(start: number, limit: number): number {
    const words = this.words
    const high = words[start * 4 + 3]
    let next = (words[start * 4 + 2] as number) + this.length(start)
    let row = start + 1
    // A run ends where the lower half of the pointer overflows; that only makes it shorter.
    while (row < limit && words[row * 4 + 2] === next && words[row * 4 + 3] === high) {
      const length = this.length(row)
      if (length <= inlineBytes) break
      next += length
      row++
    }
    return row
  }

  private fetch(start: number, end: number): Uint8Array {
    let length = 0
    for (let row = start; row < end; row++) length += this.length(row)
    const pointer = this.bytes.byteOffset + start * entryBytes + 8
    return duckdb.get_data_from_pointer(this.bytes.buffer as ArrayBuffer, pointer, length)
  }
}
