/**
 * A result as an Arrow IPC stream: one record batch for each DuckDB chunk, or several where rows are large.
 */
import { type DuckDBDataChunk, DuckDBLogicalType, type DuckDBType } from "@duckdb/node-api"
import duckdb from "@duckdb/node-bindings"
import type * as Arrow from "apache-arrow"
import type * as Message from "apache-arrow/ipc/metadata/message"
import type * as Assembler from "apache-arrow/visitor/vectorassembler"
import * as ArrowVectors from "./ArrowVectors.ts"
import type { Encoded } from "./ResultStream.ts"
import type { Steps } from "./Steps.ts"
import type { ResultColumn } from "./TextSql.ts"
import * as Validity from "./Validity.ts"
import { Source } from "./VectorSource.ts"

/** The end-of-stream mark: a continuation mark and a length of zero. */
export const endOfStream = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0)

/** The parts of apache-arrow in use. Its stream writer would copy each batch twice. */
export interface Library {
  readonly arrow: typeof Arrow
  readonly message: typeof Message
  readonly assembler: typeof Assembler
}

/** Loads the library, which takes some 60 ms the first time: an engine does so before it answers. */
export const load = async (): Promise<Library> => {
  const [arrow, message, assembler] = await Promise.all([
    import("apache-arrow"),
    import("apache-arrow/ipc/metadata/message"),
    import("apache-arrow/visitor/vectorassembler")
  ])
  return { arrow, message, assembler }
}

/**
 * Encodes chunks of `TypedSql.weighed`: columns with these names, then the BOOLEAN that is true in the
 * sentinel, then the size of each row. The stream is complete once {@link endOfStream} follows.
 */
export const encoder = (
  library: Library,
  names: ReadonlyArray<string>
): ((chunk: DuckDBDataChunk) => Encoded) => {
  let writer: Writer | undefined
  function* stream(columns: Columns): Pieces {
    if (writer === undefined) {
      writer = new Writer(library, described(names, columns))
      yield
      yield* cut(writer.head())
    }
    yield* batches(writer, columns)
  }
  return (chunk) => {
    const size = chunk.rowCount
    const vectors = names.map((_, index) => duckdb.data_chunk_get_vector(chunk.chunk, index))
    const sentinel = duckdb.data_chunk_get_vector(chunk.chunk, names.length)
    const isTooLarge = Validity.firstNull(sentinel, size) < size
    const isLast = duckdb.vector_get_data(sentinel, size)[size - 1] === 1
    const sizes = duckdb.data_chunk_get_vector(chunk.chunk, names.length + 1)
    const rows = rowsOf(sizes, isLast ? size - 1 : size)
    const columns = { sources: vectors.map((vector) => new Source(vector, size)), ...rows }
    return {
      pieces: stream(columns),
      rows: rows.rows.length,
      isLast,
      isTooLarge,
      release: () => duckdb.data_chunk_reset(chunk.chunk)
    }
  }
}

const described = (names: ReadonlyArray<string>, { sources }: Columns): ReadonlyArray<ResultColumn> =>
  sources.map(({ vector }, index) => ({ name: names[index] as string, type: typeOfVector(vector) }))

const typeOfVector = (vector: duckdb.Vector): DuckDBType =>
  DuckDBLogicalType.create(duckdb.vector_get_column_type(vector)).asType()

/** The rows of the result in a chunk, and their sizes. */
interface Rows {
  readonly rows: Int32Array<ArrayBuffer>
  readonly sizes: BigInt64Array
}

const rowsOf = (vector: duckdb.Vector, count: number): Rows => ({
  rows: Int32Array.from({ length: count }, (_, row) => row),
  sizes: new BigInt64Array(duckdb.vector_get_data(vector, count * 8).slice().buffer)
})

/** The vectors of one chunk, and its rows. */
interface Columns extends Rows {
  readonly sources: ReadonlyArray<Source>
}

/** Most bytes of rows in one record batch, by their sizes. A longer row gets a batch of its own. */
const maxBatchBytes = 32 * 1024 * 1024

class Writer {
  private readonly library: Library
  private readonly types: ReadonlyArray<DuckDBType>
  private readonly fields: ReadonlyArray<Arrow.Field>

  constructor(library: Library, columns: ReadonlyArray<ResultColumn>) {
    const { arrow } = library
    this.library = library
    this.types = columns.map(({ type }) => type)
    this.fields = columns.map(
      ({ name, type }) => new arrow.Field(name, ArrowVectors.typeOf(arrow, type), true)
    )
  }

  /** The schema, which begins a stream. */
  head(): ReadonlyArray<Uint8Array<ArrayBuffer>> {
    const { arrow, message } = this.library
    return encapsulated(message.Message.encode(message.Message.from(new arrow.Schema([...this.fields]))))
  }

  /**
   * A record batch of some rows, as a list of its parts. For thousands of columns the work is divided into
   * steps: their values, the list of their buffers, and its encoding.
   */
  *batch({ sources }: Columns, rows: Int32Array<ArrayBuffer>): Steps<ReadonlyArray<Uint8Array<ArrayBuffer>>> {
    const { arrow, assembler, message } = this.library
    const { length } = rows
    const reader = new ArrowVectors.Reader(arrow)
    const children: Array<{ readonly data: Arrow.Data }> = []
    for (const [index, source] of sources.entries()) {
      const { name, type } = this.fields[index] as Arrow.Field
      reader.column = name
      children.push({ data: yield* reader.read(source, this.types[index] as DuckDBType, type, rows) })
    }
    yield
    // The assembler reads nothing but `data` of its arguments. Making record batches would take time
    // quadratic in columns.
    const body = assembler.VectorAssembler.assemble(children as never)
    yield
    const header = new message.RecordBatch(length, body.nodes, body.bufferRegions, null)
    const description = encapsulated(message.Message.encode(message.Message.from(header, body.byteLength)))
    yield
    return [...description, ...body.buffers.flatMap((buffer) => padded(bytesOf(buffer)))]
  }
}

/** A message's metadata with its continuation mark and length. */
const encapsulated = (metadata: Uint8Array): ReadonlyArray<Uint8Array<ArrayBuffer>> => {
  const mark = new Uint8Array(8).fill(0xff, 0, 4)
  new DataView(mark.buffer).setInt32(4, metadata.length + paddingOf(metadata), true)
  return [mark, ...padded(bytesOf(metadata))]
}

const bytesOf = ({ buffer, byteLength, byteOffset }: ArrayBufferView): Uint8Array<ArrayBuffer> =>
  new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength)

/** Every part of a message begins at a multiple of 8 bytes. */
const paddingOf = ({ length }: Uint8Array): number => -length & 7

const padded = (part: Uint8Array<ArrayBuffer>): ReadonlyArray<Uint8Array<ArrayBuffer>> =>
  paddingOf(part) === 0 ? [part] : [part, new Uint8Array(paddingOf(part))]

/** Longest piece, in bytes. */
const maxPieceBytes = 256 * 1024

type Pieces = Generator<Uint8Array<ArrayBuffer> | undefined, void>

function* batches(writer: Writer, columns: Columns): Pieces {
  const { rows, sizes } = columns
  const sizeAt = (index: number): number => Number(sizes[rows[index] as number])
  for (let from = 0; from < rows.length; ) {
    let to = from + 1
    let total = sizeAt(from)
    for (; to < rows.length; to++) {
      total += sizeAt(to)
      if (total > maxBatchBytes) break
    }
    yield* cut(yield* writer.batch(columns, rows.slice(from, to)))
    from = to
    if (to < rows.length) yield
  }
}

/** Joins small parts, and cuts large ones. */
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
