/**
 * The text that DuckDB makes by `TextSql`, as chunks of bytes.
 */
import type { DuckDBDataChunk } from "@duckdb/node-api"
import duckdb from "@duckdb/node-bindings"
import * as Chunk from "../../net/Chunk.ts"
import type { Numbers } from "../QueryApi.ts"
import * as JsonText from "./JsonText.ts"
import type { Encoded } from "./ResultStream.ts"
import * as Strings from "./Strings.ts"
import * as Validity from "./Validity.ts"

/**
 * Rows are copied together up to this many bytes, mostly a whole chunk: each copy has a fixed cost. A longer
 * row is copied in pieces of this length.
 */
const maxPieceBytes = 512 * 1024

/** The rows of a whole vector in order. DuckDB's vectors have at most this many. */
const everyRow = Int32Array.from({ length: duckdb.vector_size() }, (_, row) => row)

/**
 * Encodes chunks of text and its weight. In the sentinel, which is the last row, both are NULL; in a row that
 * is too large only the text is. `suspicious` detects pieces that may hold numbers that JSON lacks, and
 * `numbers` selects their replacement.
 */
export const encoder =
  (suspicious: JsonText.Suspicion | undefined, numbers: Numbers = "number") =>
  (chunk: DuckDBDataChunk): Encoded => {
    const size = chunk.rowCount
    const vector = duckdb.data_chunk_get_vector(chunk.chunk, 0)
    const rows = Validity.firstNull(vector, size)
    const isLast =
      rows === size - 1 && !Validity.make(duckdb.data_chunk_get_vector(chunk.chunk, 1), size)(rows)
    const strings = Strings.make(vector, rows)
    return {
      pieces: ownedPieces(pieces(strings, rows, (pieces) => mended(pieces, numbers), suspicious)),
      rows: rows - Strings.empty(strings, rows),
      isLast,
      isTooLarge: rows < size && !isLast,
      // Otherwise the memory waits for a garbage collection that does not know how large it is.
      release: () => duckdb.data_chunk_reset(chunk.chunk)
    }
  }

/**
 * A piece whose memory is freed on release. The garbage collector would otherwise run for it alone every 64
 * MB. It frees pieces that share their memory.
 */
const owned = (piece: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> =>
  piece.buffer.byteLength === piece.length ? Chunk.owned(piece, free) : piece

const free = ({ buffer }: Uint8Array): void => {
  if (buffer instanceof ArrayBuffer) buffer.transfer(0)
}

type Pieces = Generator<Uint8Array<ArrayBuffer> | undefined, void>

function* ownedPieces(pieces: Pieces): Pieces {
  for (const piece of pieces) yield piece === undefined ? undefined : owned(piece)
}

function* pieces(
  strings: Strings.Strings,
  rows: number,
  mend: (pieces: Iterable<Buffer<ArrayBuffer>>) => Pieces,
  suspicious: JsonText.Suspicion | undefined
): Pieces {
  for (let from = 0; from < rows; ) {
    let to = from + 1
    let total = Strings.length(strings, from)
    if (total > maxPieceBytes) {
      const cut = Strings.cut(strings, from, maxPieceBytes)
      // A word may be cut, so every piece is suspicious.
      yield* suspicious === undefined ? cut : mend(cut)
      from = to
      continue
    }
    for (; to < rows; to++) {
      const size = Strings.length(strings, to)
      if (total + size > maxPieceBytes) break
      total += size
    }
    const copied = Strings.copy(strings, everyRow, { from, to, total })
    if (suspicious?.(copied)) yield* mend([copied])
    else if (total > 0) yield copied
    from = to
  }
  Strings.close(strings)
}

/** Repair scans every byte; this many take a few milliseconds. */
const mendBytes = 128 * 1024

/** Whole rows, in pieces, without words that JSON lacks. */
function* mended(pieces: Iterable<Buffer<ArrayBuffer>>, numbers: Numbers): Pieces {
  const mender = new JsonText.Mender(numbers)
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; at += mendBytes) {
      yield mender.push(piece.subarray(at, at + mendBytes))
      yield
    }
  }
}
