/**
 * The text that `TextSql` has DuckDB make, as chunks of bytes.
 */
import type { DuckDBDataChunk } from "@duckdb/node-api"
import duckdb from "@duckdb/node-bindings"
import * as Chunk from "../../net/Chunk.ts"
import * as NonFinite from "./NonFinite.ts"
import type { Encoded } from "./ResultStream.ts"
import * as Strings from "./Strings.ts"
import * as Validity from "./Validity.ts"

/**
 * Rows are copied together up to this many bytes, mostly a whole chunk: each copy costs, whatever its size. A
 * longer row is cut.
 */
const maxPieceBytes = 512 * 1024

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

/**
 * A piece whose memory is freed when it is released, and not when the garbage collector finds it, which would run for
 * it alone every 64 MB. Pieces that share their memory are left to it.
 */
const owned = (piece: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> =>
  piece.buffer.byteLength === piece.length ? Chunk.owned(piece, free) : piece

const free = ({ buffer }: Uint8Array): void => {
  if (buffer instanceof ArrayBuffer) buffer.transfer(0)
}

function* pieces(
  vector: duckdb.Vector,
  rows: number,
  suspicious: NonFinite.Suspicion | undefined
): Generator<Uint8Array<ArrayBuffer>, void> {
  if (rows === 0) return
  const strings = Strings.make(vector, rows)
  for (let from = 0; from < rows; ) {
    let to = from + 1
    let total = Strings.length(strings, from)
    for (; to < rows; to++) {
      const size = Strings.length(strings, to)
      if (total + size > maxPieceBytes) break
      total += size
    }
    const copied = Strings.copy(strings, everyRow, { from, to, total })
    const bytes = suspicious?.(copied) ? NonFinite.mend(copied) : copied
    for (let at = 0; at < bytes.length; at += maxPieceBytes)
      yield owned(bytes.subarray(at, at + maxPieceBytes))
    from = to
  }
  Strings.close(strings)
}
