/**
 * Reads the strings of a DuckDB vector as bytes, without making JavaScript strings of them.
 *
 * A VARCHAR or BLOB vector is an array of 16-byte entries: the length in 4 bytes, then either up to 12 bytes
 * of text or a 4-byte prefix and an 8-byte pointer. Neighbours mostly point at neighbouring memory, so they
 * are fetched as runs, about 300 rows at a time.
 */
import duckdb from "@duckdb/node-bindings"

const entryBytes = 16
const inlineBytes = 12

/** The entries of one vector. Rows that are NULL hold garbage and must not be read. */
export interface Strings {
  readonly bytes: Uint8Array
  /** The same memory in words of 4 bytes, which is what lengths and halves of pointers are. */
  readonly words: Uint32Array
}

export const make = (vector: duckdb.Vector, rows: number): Strings => {
  const bytes = duckdb.vector_get_data(vector, rows * entryBytes)
  return { bytes, words: new Uint32Array(bytes.buffer, bytes.byteOffset, rows * 4) }
}

/** The length of a row's string in bytes. */
export const length = (strings: Strings, row: number): number => strings.words[row * 4] as number

/**
 * Copies the strings of `rows[from]` up to `rows[to]`, one after the other, into memory of their own.
 * `total` is the sum of their lengths.
 */
export const copy = (
  strings: Strings,
  rows: Int32Array,
  range: { readonly from: number; readonly to: number; readonly total: number }
): Buffer<ArrayBuffer> => {
  const target = Buffer.allocUnsafeSlow(range.total)
  let at = 0
  for (let index = range.from; index < range.to; ) {
    const row = rows[index] as number
    const size = length(strings, row)
    if (size <= inlineBytes) {
      const start = row * entryBytes + 4
      for (let byte = 0; byte < size; byte++) target[at++] = strings.bytes[start + byte] as number
      index++
    } else {
      const run = runFrom(strings, rows, index, range.to)
      const text = fetch(strings, row, run.bytes)
      target.set(text, at)
      forget(text)
      at += run.bytes
      index = run.end
    }
  }
  return target
}

/** How far the text from `start` on follows on in memory. */
const runFrom = (
  { words }: Strings,
  rows: Int32Array,
  start: number,
  limit: number
): { readonly end: number; readonly bytes: number } => {
  const first = (rows[start] as number) * 4
  const low = words[first + 2] as number
  const high = words[first + 3]
  let bytes = words[first] as number
  let index = start + 1
  for (; index < limit; index++) {
    const entry = (rows[index] as number) * 4
    const size = words[entry] as number
    // A run ends where the lower half of the pointer overflows; that only makes it shorter.
    if (size <= inlineBytes || words[entry + 2] !== low + bytes || words[entry + 3] !== high) break
    bytes += size
  }
  return { end: index, bytes }
}

const fetch = ({ bytes }: Strings, row: number, size: number): Uint8Array =>
  duckdb.get_data_from_pointer(bytes.buffer as ArrayBuffer, bytes.byteOffset + row * entryBytes + 8, size)

/**
 * Gives up a view of DuckDB's memory. The garbage collector takes views for memory that it could gain, and
 * would run twice as often for them.
 */
const forget = ({ buffer }: Uint8Array): void => {
  ;(buffer as ArrayBuffer).transfer(0)
}

/** Gives up the entries, when all that is wanted has been copied. */
export const close = ({ bytes }: Strings): void => forget(bytes)
