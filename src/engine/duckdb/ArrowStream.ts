/**
 * A result as an Arrow IPC stream: a record batch for each of DuckDB's chunks, or several where rows are large.
 */
import { type DuckDBDataChunk, DuckDBLogicalType, type DuckDBType } from "@duckdb/node-api"
import duckdb from "@duckdb/node-bindings"
import type * as Arrow from "apache-arrow"
import * as ArrowVectors from "./ArrowVectors.ts"
import type { Encoded } from "./ResultStream.ts"
import type { Steps } from "./Steps.ts"
import type { ResultColumn } from "./TextSql.ts"
import * as Validity from "./Validity.ts"

/** The end-of-stream mark: a continuation mark and a length of zero. */
export const endOfStream = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0)

/**
 * Encodes chunks of `TextSql.weighed`: columns with these names, then the BOOLEAN that is true in the sentinel, then
 * the size of each row. The stream is whole once {@link endOfStream} follows.
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
    const isTooLarge = Validity.firstNull(sentinel, size) < size
    const isLast = duckdb.vector_get_data(sentinel, size)[size - 1] === 1
    const rows = isLast ? size - 1 : size
    const sizes = sizesOf(duckdb.data_chunk_get_vector(chunk.chunk, names.length + 1), rows)
    const head = writer === undefined
    writer ??= new Writer(
      arrow,
      vectors.map((vector, index) => ({ name: names[index] as string, type: typeOfVector(vector) }))
    )
    return {
      pieces: pieces(writer, { vectors, size, sizes }, head),
      rows,
      isLast,
      isTooLarge,
      release: () => duckdb.data_chunk_reset(chunk.chunk)
    }
  }
}

const typeOfVector = (vector: duckdb.Vector): DuckDBType =>
  DuckDBLogicalType.create(duckdb.vector_get_column_type(vector)).asType()

const sizesOf = (vector: duckdb.Vector, rows: number): BigInt64Array => {
  const bytes = duckdb.vector_get_data(vector, rows * 8)
  return new BigInt64Array(bytes.slice().buffer)
}

/** Some vectors of one chunk, and the sizes of the rows that are the result's. */
interface Columns {
  readonly vectors: ReadonlyArray<duckdb.Vector>
  readonly size: number
  readonly sizes: BigInt64Array
}

/** Rows are put into one record batch up to this many bytes by their sizes, a longer row into one of its own. */
const maxBatchBytes = 4 * 1024 * 1024

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
    this.head = Buffer.concat(this.write().take())
  }

  /** A record batch of the rows from one to another, as the parts it is written in. */
  *batch(
    { size, vectors }: Columns,
    from: number,
    to: number
  ): Steps<ReadonlyArray<Uint8Array<ArrayBuffer>>> {
    const length = to - from
    const indexes = Int32Array.from({ length }, (_, row) => from + row)
    const { fields } = this.schema
    const reader = new ArrowVectors.Reader(this.arrow)
    const children: Array<Arrow.Data> = []
    for (const [index, vector] of vectors.entries()) {
      const field = fields[index] as Arrow.Field
      children.push(
        yield* reader.read({ vector, size }, this.types[index] as DuckDBType, field.type, indexes)
      )
    }
    const type = new this.arrow.Struct(fields)
    const data = this.arrow.makeData({ type, length, nullCount: 0, children })
    const sink = this.write()
    sink.take()
    sink.writer.write(new this.arrow.RecordBatch(this.schema, data))
    return sink.take()
  }

  /** A stream that has begun. The library writes whole streams only, so each batch is taken out of its own. */
  private write() {
    let parts: Array<Uint8Array<ArrayBuffer>> = []
    const sink = new this.arrow.AsyncByteQueue()
    // The library's own would copy all parts into one.
    sink.write = (part) => void parts.push(part as Uint8Array<ArrayBuffer>)
    const writer = new this.arrow.RecordBatchStreamWriter()
    writer.reset(sink, this.schema)
    const take = () => {
      const taken = parts
      parts = []
      return taken
    }
    return { writer, take }
  }
}

/** No piece is longer than this, in bytes. */
const maxPieceBytes = 256 * 1024

function* pieces(
  writer: Writer,
  columns: Columns,
  head: boolean
): Generator<Uint8Array<ArrayBuffer> | undefined, void> {
  if (head) yield* cut([writer.head])
  const { sizes } = columns
  for (let from = 0; from < sizes.length; ) {
    let to = from + 1
    let total = Number(sizes[from])
    for (; to < sizes.length; to++) {
      total += Number(sizes[to])
      if (total > maxBatchBytes) break
    }
    yield* cut(yield* writer.batch(columns, from, to))
    from = to
    if (to < sizes.length) yield
  }
}

/** Small parts are put together, large ones cut. */
function* cut(parts: ReadonlyArray<Uint8Array<ArrayBuffer>>): Generator<Uint8Array<ArrayBuffer>, void> {
  let small: Array<Uint8Array<ArrayBuffer>> = []
  let bytes = 0
  for (const part of parts) {
    if (part.length < maxPieceBytes) {
      small.push(part)
      bytes += part.length
    }
    if (small.length > 0 && (part.length >= maxPieceBytes || bytes >= maxPieceBytes)) {
      yield Buffer.concat(small, bytes)
      small = []
      bytes = 0
    }
    if (part.length < maxPieceBytes) continue
    for (let at = 0; at < part.length; at += maxPieceBytes) yield part.subarray(at, at + maxPieceBytes)
  }
  if (small.length > 0) yield Buffer.concat(small, bytes)
}
