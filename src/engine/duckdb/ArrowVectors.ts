/**
 * DuckDB vectors as Arrow data.
 *
 * Every function takes the rows to read as indexes into the vector, -1 for a row that is NULL further out.
 * So one recursion serves flat and nested types: a list turns its rows into the rows of its child.
 */
import { type DuckDBType, DuckDBTypeId } from "@duckdb/node-api"
import duckdb from "@duckdb/node-bindings"
import type * as Arrow from "apache-arrow"
import * as Strings from "./Strings.ts"
import type * as Types from "./Types.ts"
import * as Validity from "./Validity.ts"

type Module = typeof Arrow
type Rows = Int32Array<ArrayBuffer>

/** A vector and how many rows it holds, valid or not. */
interface Source {
  readonly vector: duckdb.Vector
  readonly size: number
}

/**
 * Types without an Arrow counterpart that readers agree on. They travel as the text that DuckDB prints, and
 * the query casts them, so that this module never sees them.
 */
const asText: ReadonlySet<DuckDBTypeId> = new Set([
  DuckDBTypeId.ENUM,
  DuckDBTypeId.UUID,
  DuckDBTypeId.BIT,
  DuckDBTypeId.TIME_TZ,
  DuckDBTypeId.UHUGEINT,
  DuckDBTypeId.BIGNUM,
  DuckDBTypeId.VARIANT,
  DuckDBTypeId.GEOMETRY
])

/** The types that a column's are replaced by before it gets here. */
export const rename: Types.Rename = (type) => (asText.has(type.typeId) ? "VARCHAR" : undefined)

/** The Arrow type of a column after the cast to {@link rename}. */
export const typeOf = (arrow: Module, type: DuckDBType): Arrow.DataType => {
  const field = (name: string, child: DuckDBType, nullable = true) =>
    new arrow.Field(name, typeOf(arrow, child), nullable)
  switch (type.typeId) {
    case DuckDBTypeId.LIST:
      return new arrow.List(field("item", type.valueType))
    case DuckDBTypeId.ARRAY:
      return new arrow.FixedSizeList(type.length, field("item", type.valueType))
    case DuckDBTypeId.STRUCT:
      return new arrow.Struct(
        type.entryTypes.map((child, index) => field(type.entryNames[index] ?? "", child))
      )
    case DuckDBTypeId.MAP: {
      const entries = new arrow.Struct([field("key", type.keyType, false), field("value", type.valueType)])
      return new arrow.Map_(new arrow.Field("entries", entries, false) as never)
    }
    case DuckDBTypeId.UNION:
      return new arrow.SparseUnion(
        type.memberTypes.map((_, index) => index),
        type.memberTypes.map((child, index) => field(type.memberTags[index] ?? "", child))
      )
    case DuckDBTypeId.DECIMAL:
      return new arrow.Decimal(type.scale, type.width, 128)
    default:
      return flatType(arrow, type)
  }
}

const flatType = (arrow: Module, type: DuckDBType): Arrow.DataType => {
  switch (type.typeId) {
    case DuckDBTypeId.SQLNULL:
      return new arrow.Null()
    case DuckDBTypeId.BOOLEAN:
      return new arrow.Bool()
    case DuckDBTypeId.TINYINT:
      return new arrow.Int8()
    case DuckDBTypeId.SMALLINT:
      return new arrow.Int16()
    case DuckDBTypeId.INTEGER:
      return new arrow.Int32()
    case DuckDBTypeId.BIGINT:
      return new arrow.Int64()
    case DuckDBTypeId.UTINYINT:
      return new arrow.Uint8()
    case DuckDBTypeId.USMALLINT:
      return new arrow.Uint16()
    case DuckDBTypeId.UINTEGER:
      return new arrow.Uint32()
    case DuckDBTypeId.UBIGINT:
      return new arrow.Uint64()
    case DuckDBTypeId.HUGEINT:
      return new arrow.Decimal(0, 38, 128)
    case DuckDBTypeId.FLOAT:
      return new arrow.Float32()
    case DuckDBTypeId.DOUBLE:
      return new arrow.Float64()
    case DuckDBTypeId.DATE:
      return new arrow.DateDay()
    case DuckDBTypeId.TIME:
      return new arrow.TimeMicrosecond()
    case DuckDBTypeId.TIME_NS:
      return new arrow.TimeNanosecond()
    case DuckDBTypeId.TIMESTAMP_S:
      return new arrow.TimestampSecond()
    case DuckDBTypeId.TIMESTAMP_MS:
      return new arrow.TimestampMillisecond()
    case DuckDBTypeId.TIMESTAMP:
      return new arrow.TimestampMicrosecond()
    case DuckDBTypeId.TIMESTAMP_NS:
      return new arrow.TimestampNanosecond()
    case DuckDBTypeId.TIMESTAMP_TZ:
      return new arrow.TimestampMicrosecond("UTC")
    case DuckDBTypeId.INTERVAL:
      return new arrow.IntervalMonthDayNano()
    case DuckDBTypeId.BLOB:
      return new arrow.Binary()
    default:
      return new arrow.Utf8()
  }
}

/** The rows of a column, or of a vector inside one, as Arrow data of `target`'s type. */
export const dataOf = (
  arrow: Module,
  source: Source,
  type: DuckDBType,
  target: Arrow.DataType,
  from: Rows
): Arrow.Data => {
  const isValid = Validity.make(source.vector, source.size)
  const rows = from.map((row) => (row !== -1 && isValid(row) ? row : -1))
  const nulls = nullsOf(rows)
  const child = (vector: duckdb.Vector, size: number, inner: DuckDBType, index: number, innerRows: Rows) =>
    dataOf(
      arrow,
      { vector, size },
      inner,
      (target.children as ReadonlyArray<Arrow.Field>)[index]?.type as never,
      innerRows
    )
  const make = (props: object): Arrow.Data =>
    arrow.makeData({ type: target, length: rows.length, ...nulls, ...props } as never)

  switch (type.typeId) {
    case DuckDBTypeId.LIST:
    case DuckDBTypeId.MAP: {
      const { valueOffsets, childRows } = unnest(source, rows)
      const vector = duckdb.list_vector_get_child(source.vector)
      const size = duckdb.list_vector_get_size(source.vector)
      const inner = type.typeId === DuckDBTypeId.LIST ? type.valueType : entriesOf(type)
      return make({ valueOffsets, child: child(vector, size, inner, 0, childRows) })
    }
    case DuckDBTypeId.ARRAY: {
      const { length } = type
      const childRows = Int32Array.from({ length: rows.length * length }, (_, index) => {
        const row = rows[Math.floor(index / length)] as number
        return row === -1 ? -1 : row * length + (index % length)
      })
      const vector = duckdb.array_vector_get_child(source.vector)
      return make({ child: child(vector, source.size * length, type.valueType, 0, childRows) })
    }
    case DuckDBTypeId.STRUCT:
      return make({
        children: type.entryTypes.map((inner, index) =>
          child(duckdb.struct_vector_get_child(source.vector, index), source.size, inner, index, rows)
        )
      })
    case DuckDBTypeId.UNION: {
      // Physically a struct whose first member is the tag. Arrow's unions have no NULL of their own: it
      // becomes the first member's.
      const tags = duckdb.vector_get_data(duckdb.struct_vector_get_child(source.vector, 0), source.size)
      const typeIds = Int8Array.from(rows, (row) => (row === -1 ? 0 : (tags[row] as number)))
      const children = type.memberTypes.map((inner, index) => {
        const vector = duckdb.struct_vector_get_child(source.vector, index + 1)
        return child(
          vector,
          source.size,
          inner,
          index,
          rows.map((row, at) => (typeIds[at] === index ? row : -1))
        )
      })
      return arrow.makeData({
        type: target as Arrow.SparseUnion,
        length: rows.length,
        typeIds,
        children
      } as never)
    }
    case DuckDBTypeId.VARCHAR:
    case DuckDBTypeId.BLOB:
      return make(stringsOf(source, rows))
    case DuckDBTypeId.SQLNULL:
      return arrow.makeData({ type: target as Arrow.Null, length: rows.length })
    default:
      return make({ data: fixedOf(source, type, rows) })
  }
}

const entriesOf = (type: { readonly keyType: DuckDBType; readonly valueType: DuckDBType }): DuckDBType =>
  ({
    typeId: DuckDBTypeId.STRUCT,
    entryNames: ["key", "value"],
    entryTypes: [type.keyType, type.valueType]
  }) as unknown as DuckDBType

const nullsOf = (rows: Rows): { readonly nullCount: number; readonly nullBitmap?: Uint8Array } => {
  const nullBitmap = new Uint8Array(Math.ceil(rows.length / 8))
  let nullCount = 0
  rows.forEach((row, index) => {
    if (row === -1) nullCount++
    else nullBitmap[index >> 3] = (nullBitmap[index >> 3] as number) | (1 << (index & 7))
  })
  return nullCount === 0 ? { nullCount } : { nullCount, nullBitmap }
}

/** A list entry is an offset and a length, 8 bytes each; a chunk's child never needs more than 4 of them. */
const unnest = (
  source: Source,
  rows: Rows
): { readonly valueOffsets: Int32Array; readonly childRows: Rows } => {
  const bytes = duckdb.vector_get_data(source.vector, source.size * 16)
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, source.size * 4)
  const lengthOf = (row: number) => (row === -1 ? 0 : (words[row * 4 + 2] as number))
  const valueOffsets = new Int32Array(rows.length + 1)
  rows.forEach((row, index) => {
    valueOffsets[index + 1] = (valueOffsets[index] as number) + lengthOf(row)
  })
  const childRows = new Int32Array(valueOffsets[rows.length] as number)
  rows.forEach((row, index) => {
    const start = valueOffsets[index] as number
    for (let item = 0; item < lengthOf(row); item++) {
      childRows[start + item] = (words[row * 4] as number) + item
    }
  })
  return { valueOffsets, childRows }
}

const stringsOf = (
  source: Source,
  rows: Rows
): { readonly valueOffsets: Int32Array; readonly data: Uint8Array } => {
  const valid = rows.filter((row) => row !== -1)
  const valueOffsets = new Int32Array(rows.length + 1)
  if (valid.length === 0) return { valueOffsets, data: new Uint8Array(0) }
  const strings = Strings.make(source.vector, source.size)
  rows.forEach((row, index) => {
    const length = row === -1 ? 0 : Strings.length(strings, row)
    valueOffsets[index + 1] = (valueOffsets[index] as number) + length
  })
  const total = valueOffsets[rows.length] as number
  return { valueOffsets, data: Strings.copy(strings, valid, { from: 0, to: valid.length, total }) }
}

/** Values of a fixed width, in Arrow's layout. */
const fixedOf = (source: Source, type: DuckDBType, rows: Rows): Uint8Array => {
  switch (type.typeId) {
    case DuckDBTypeId.BOOLEAN:
      return bits(gather(source, rows, 1))
    case DuckDBTypeId.DECIMAL:
      return widen(gather(source, rows, decimalWidth(type.width)), decimalWidth(type.width))
    case DuckDBTypeId.INTERVAL:
      return microsToNanos(gather(source, rows, 16))
    default:
      return gather(source, rows, widths[type.typeId] ?? 8)
  }
}

const widths: { readonly [Id in DuckDBTypeId]?: number } = {
  [DuckDBTypeId.TINYINT]: 1,
  [DuckDBTypeId.UTINYINT]: 1,
  [DuckDBTypeId.SMALLINT]: 2,
  [DuckDBTypeId.USMALLINT]: 2,
  [DuckDBTypeId.INTEGER]: 4,
  [DuckDBTypeId.UINTEGER]: 4,
  [DuckDBTypeId.FLOAT]: 4,
  [DuckDBTypeId.DATE]: 4,
  [DuckDBTypeId.HUGEINT]: 16
}

/** DuckDB stores a decimal in the narrowest integer that holds its digits. */
const decimalWidth = (digits: number): number => (digits <= 4 ? 2 : digits <= 9 ? 4 : digits <= 18 ? 8 : 16)

/** The values of the rows, one after the other; zeroes for NULL. */
const gather = (source: Source, rows: Rows, width: number): Uint8Array<ArrayBuffer> => {
  const target = new Uint8Array(rows.length * width)
  if (source.size === 0) return target
  const bytes = duckdb.vector_get_data(source.vector, source.size * width)
  for (let index = 0; index < rows.length; ) {
    const row = rows[index] as number
    let end = index + 1
    if (row === -1) {
      index = end
      continue
    }
    while (end < rows.length && rows[end] === row + end - index) end++
    target.set(bytes.subarray(row * width, (row + end - index) * width), index * width)
    index = end
  }
  return target
}

const bits = (booleans: Uint8Array): Uint8Array => {
  const packed = new Uint8Array(Math.ceil(booleans.length / 8))
  booleans.forEach((value, index) => {
    if (value !== 0) packed[index >> 3] = (packed[index >> 3] as number) | (1 << (index & 7))
  })
  return packed
}

/** Sign-extends little-endian integers to 16 bytes. */
const widen = (values: Uint8Array, width: number): Uint8Array => {
  if (width === 16) return values
  const target = new Uint8Array((values.length / width) * 16)
  for (let from = 0, to = 0; from < values.length; from += width, to += 16) {
    const negative = (values[from + width - 1] as number) >= 0x80
    target.set(values.subarray(from, from + width), to)
    if (negative) target.fill(0xff, to + width, to + 16)
  }
  return target
}

/** An interval's last 8 of 16 bytes are microseconds in DuckDB, nanoseconds in Arrow. */
const microsToNanos = (intervals: Uint8Array<ArrayBuffer>): Uint8Array => {
  const words = new BigInt64Array(intervals.buffer)
  for (let index = 1; index < words.length; index += 2) words[index] = (words[index] as bigint) * 1000n
  return intervals
}
