/**
 * Reads the strings of a DuckDB vector as bytes, without making JavaScript strings of them.
 *
 * A VARCHAR or BLOB vector is an array of 16-byte entries: the length in 4 bytes, then either up to 12 bytes
 * of text or a 4-byte prefix and an 8-byte pointer. Adjacent entries mostly point at adjacent memory, so they
 * are fetched as runs, about 300 rows at a time.
 */
import duckdb from "@duckdb/node-bindings"
import type { Steps } from "./Steps.ts"

const entryBytes = 16
const inlineBytes = 12

/** The entries of one vector. Rows that are NULL hold garbage and must not be read. */
export interface Strings {
  readonly bytes: Uint8Array
  /** The same memory in words of 4 bytes, the size of lengths and of halves of pointers. */
  readonly words: Uint32Array
}

export const make = (vector: duckdb.Vector, rows: number): Strings =>
  of(rows === 0 ? new Uint8Array(0) : duckdb.vector_get_data(vector, rows * entryBytes))

/** Entries that have been read already. */
export const of = (bytes: Uint8Array): Strings => ({
  bytes,
  words: new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
})

/** The length of a row's string in bytes. */
export const length = (strings: Strings, row: number): number => strings.words[row * 4] as number

/** How many of the first rows have empty strings. */
export const empty = ({ words }: Strings, rows: number): number => {
  let count = 0
  for (let row = 0; row < rows; row++) if (words[row * 4] === 0) count++
  return count
}

/**
 * Copies the strings of `rows[from]` up to `rows[to]`, one after the other, into separate memory. `total` is
 * the sum of their lengths.
 */
export const copy = (
  strings: Strings,
  rows: Int32Array,
  range: { readonly from: number; readonly to: number; readonly total: number }
): Buffer<ArrayBuffer> => {
  const target = Buffer.allocUnsafeSlow(range.total)
  let at = 0
  for (let index = range.from; index < range.to; ) {
    const run = runFrom(strings, rows, index, range.to)
    copyRun(target, at, strings, rows[index] as number, run)
    at += run.bytes
    index = run.end
  }
  return target
}

/**
 * Copies the strings of all the rows into memory of their total length, and pauses after each `stepBytes`.
 */
export function* copyInto(
  target: Buffer,
  strings: Strings,
  rows: Int32Array,
  stepBytes: number
): Steps<void> {
  let at = 0
  let copied = 0
  for (let index = 0; index < rows.length; ) {
    const row = rows[index] as number
    if (length(strings, row) > stepBytes) {
      for (const piece of cut(strings, row, stepBytes)) {
        target.set(piece, at)
        at += piece.length
        yield
      }
      index++
      continue
    }
    const run = runFrom(strings, rows, index, rows.length, stepBytes)
    copyRun(target, at, strings, row, run)
    at += run.bytes
    copied += run.bytes + (run.end - index) * entryBytes
    index = run.end
    if (copied < stepBytes) continue
    copied = 0
    yield
  }
}

/** Rows up to `end` whose strings are contiguous, or one row whose string is in its entry. */
interface Run {
  readonly end: number
  readonly bytes: number
}

const copyRun = (target: Buffer, at: number, strings: Strings, row: number, run: Run): void => {
  if (run.bytes <= inlineBytes) {
    const start = row * entryBytes + 4
    for (let byte = 0; byte < run.bytes; byte++) target[at + byte] = strings.bytes[start + byte] as number
  } else {
    const text = fetch(strings, row, run.bytes)
    target.set(text, at)
    forget(text)
  }
}

/** A row's string of more than 12 bytes in pieces of at most `pieceBytes`, each in separate memory. */
export function* cut(
  strings: Strings,
  row: number,
  pieceBytes: number
): Generator<Buffer<ArrayBuffer>, void> {
  const size = length(strings, row)
  const pointer = new DataView(new ArrayBuffer(8))
  const start = new DataView(strings.bytes.buffer, strings.bytes.byteOffset).getBigUint64(
    row * entryBytes + 8,
    true
  )
  for (let from = 0; from < size; from += pieceBytes) {
    pointer.setBigUint64(0, start + BigInt(from), true)
    const text = duckdb.get_data_from_pointer(pointer.buffer, 0, Math.min(pieceBytes, size - from))
    yield Buffer.from(text.buffer as ArrayBuffer, text.byteOffset, text.length)
  }
}

/** The contiguous text in memory from `start` on, up to a number of bytes. */
const runFrom = (
  { words }: Strings,
  rows: Int32Array,
  start: number,
  limit: number,
  maxBytes = Number.POSITIVE_INFINITY
): Run => {
  const first = (rows[start] as number) * 4
  const low = words[first + 2] as number
  const high = words[first + 3]
  let bytes = words[first] as number
  let index = start + 1
  if (bytes <= inlineBytes) return { end: index, bytes }
  for (; index < limit; index++) {
    const entry = (rows[index] as number) * 4
    const size = words[entry] as number
    if (size === 0) continue
    // A run ends where the lower half of the pointer overflows; that only makes the run shorter.
    if (size <= inlineBytes || words[entry + 2] !== low + bytes || words[entry + 3] !== high) break
    if (bytes + size > maxBytes) break
    bytes += size
  }
  return { end: index, bytes }
}

const fetch = ({ bytes }: Strings, row: number, size: number): Uint8Array =>
  duckdb.get_data_from_pointer(bytes.buffer as ArrayBuffer, bytes.byteOffset + row * entryBytes + 8, size)

/** Frees a copy of DuckDB's memory before the garbage collector finds it, which would run twice as often. */
const forget = ({ buffer }: Uint8Array): void => {
  ;(buffer as ArrayBuffer).transfer(0)
}

/** Frees the entries, when everything needed has been copied. */
export const close = ({ bytes }: Strings): void => forget(bytes)
