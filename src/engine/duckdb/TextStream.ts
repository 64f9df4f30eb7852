/**
 * The text that `TextSql` has DuckDB make, as chunks of bytes.
 */
import type { DuckDBDataChunk } from "@duckdb/node-api"
import duckdb from "@duckdb/node-bindings"
import * as NonFinite from "./NonFinite.ts"
import type { Encoded } from "./ResultStream.ts"
import * as Strings from "./Strings.ts"
import * as Validity from "./Validity.ts"

/** Rows are copied together up to this many bytes, mostly a whole chunk: each copy costs, whatever its size. */
const copyBytes = 512 * 1024

/** No piece is longer than this, in bytes; longer rows are cut. */
const maxPieceBytes = 256 * 1024

/** The rows of a whole vector in order. DuckDB's vectors have at most this many. */
const everyRow = Int32Array.from({ length: duckdb.vector_size() }, (_, row) => row)

/**
 * Encodes chunks whose first column is text, NULL in the last row, the sentinel. `suspicious` says which
 * pieces may hold numbers that JSON has no word for.
 */
export const encoder =
  (suspicious: NonFinite.Suspicion | undefined) =>
  (chunk: DuckDBDataChunk): Encoded => {
    const rows = chunk.rowCount
    const vector = duckdb.data_chunk_get_vector(chunk.chunk, 0)
    const isLast = !Validity.make(vector, rows)(rows - 1)
    return {
      pieces: pieces(vector, isLast ? rows - 1 : rows, suspicious),
      isLast,
      // Without it the memory waits for a garbage collection that does not know how much there is to gain.
      release: () => duckdb.data_chunk_reset(chunk.chunk)
    }
  }

function* pieces(
  vector: duckdb.Vector,
  rows: number,
  suspicious: NonFinite.Suspicion | undefined
): Generator<Uint8Array<ArrayBuffer>, void> {
  if (rows === 0) return
  const strings = Strings.make(vector, rows)
  for (let from = 0; from < rows; ) {
    let to = from
    let total = 0
    while (to < rows && total < copyBytes) total += Strings.length(strings, to++)
    const copied = Strings.copy(strings, everyRow, { from, to, total })
    const bytes = suspicious?.(copied) ? NonFinite.mend(copied) : copied
    for (let at = 0; at < bytes.length; at += maxPieceBytes) yield bytes.subarray(at, at + maxPieceBytes)
    from = to
  }
}
