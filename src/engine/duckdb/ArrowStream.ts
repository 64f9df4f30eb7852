/**
 * A result as an Arrow IPC stream: one record batch for each of DuckDB's chunks.
 */
import { type DuckDBDataChunk, DuckDBLogicalType, type DuckDBType } from "@duckdb/node-api"
import duckdb from "@duckdb/node-bindings"
import type * as Arrow from "apache-arrow"
import * as ArrowVectors from "./ArrowVectors.ts"
import type { Encoded } from "./ResultStream.ts"
import type { ResultColumn } from "./TextSql.ts"

/** The end-of-stream mark: a continuation mark and a length of zero. */
export const endOfStream = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0)

/**
 * Encodes chunks of columns with these names and one BOOLEAN column after them, which is true in the sentinel
 * row that ends the result. What follows that column is not looked at. The stream is whole once {@link endOfStream} follows.
 *
 * apache-arrow is loaded by those who call this, so that nobody else pays for it.
 */
export const encoder = (
  arrow: typeof Arrow,
  names: ReadonlyArray<string>
): ((chunk: DuckDBDataChunk) => Encoded) => {
  let writer: Writer | undefined
  return (chunk) => {
    const size = chunk.rowCount
    const vectors = names.map((_, index) => duckdb.data_chunk_get_vector(chunk.chunk, index))
    const sentinel = duckdb.data_chunk_get_vector(chunk.chunk, names.length)
    const isLast = duckdb.vector_get_data(sentinel, size)[size - 1] === 1
    const head = writer === undefined
    writer ??= new Writer(
      arrow,
      vectors.map((vector, index) => ({ name: names[index] as string, type: typeOfVector(vector) }))
    )
    return {
      pieces: pieces(writer, { vectors, size, rows: isLast ? size - 1 : size }, head),
      isLast,
      release: () => duckdb.data_chunk_reset(chunk.chunk)
    }
  }
}

const typeOfVector = (vector: duckdb.Vector): DuckDBType =>
  DuckDBLogicalType.create(duckdb.vector_get_column_type(vector)).asType()

/** Some vectors of one chunk, of which the first `rows` are the result's. */
interface Columns {
  readonly vectors: ReadonlyArray<duckdb.Vector>
  readonly size: number
  readonly rows: number
}

class Writer {
  /** The schema, which begins a stream. */
  readonly head: Uint8Array<ArrayBuffer>
  private readonly arrow: typeof Arrow
  private readonly types: ReadonlyArray<DuckDBType>
  private readonly schema: Arrow.Schema

  constructor(arrow: typeof Arrow, columns: ReadonlyArray<ResultColumn>) {
    this.arrow = arrow
    this.types = columns.map(({ type }) => type)
    this.schema = new arrow.Schema(
      columns.map(({ name, type }) => new arrow.Field(name, ArrowVectors.typeOf(arrow, type), true))
    )
    this.head = this.write([]).slice(0, -endOfStream.length)
  }

  /** A record batch. The library writes whole streams only, so it is cut out of a stream of its own. */
  batch({ vectors, size, rows }: Columns): Uint8Array<ArrayBuffer> {
    const indexes = Int32Array.from({ length: rows }, (_, row) => row)
    const { fields } = this.schema
    const children = vectors.map((vector, index) =>
      ArrowVectors.dataOf(
        this.arrow,
        { vector, size },
        this.types[index] as DuckDBType,
        (fields[index] as Arrow.Field).type,
        indexes
      )
    )
    const type = new this.arrow.Struct(fields)
    const data = this.arrow.makeData({ type, length: rows, nullCount: 0, children })
    const stream = this.write([new this.arrow.RecordBatch(this.schema, data)])
    return stream.slice(this.head.length, -endOfStream.length)
  }

  private write(batches: ReadonlyArray<Arrow.RecordBatch>): Uint8Array<ArrayBuffer> {
    const writer = new this.arrow.RecordBatchStreamWriter()
    writer.reset(undefined, this.schema)
    for (const batch of batches) writer.write(batch)
    return writer.finish().toUint8Array(true) as Uint8Array<ArrayBuffer>
  }
}

/** No piece is longer than this, in bytes. */
const maxPieceBytes = 256 * 1024

function* pieces(writer: Writer, columns: Columns, head: boolean): Generator<Uint8Array<ArrayBuffer>, void> {
  if (head) yield writer.head
  if (columns.rows === 0) return
  const bytes = writer.batch(columns)
  for (let at = 0; at < bytes.length; at += maxPieceBytes) yield bytes.subarray(at, at + maxPieceBytes)
}
