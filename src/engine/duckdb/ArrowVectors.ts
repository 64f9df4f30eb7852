/**
 * DuckDB vectors as Arrow data.
 *
 * Every function takes the rows to read as indexes into the vector, -1 for a row that is NULL at an outer
 * level. So one recursion serves flat and nested types: a list turns its rows into the rows of its child.
 */
import { type DuckDBType, DuckDBTypeId } from "@duckdb/node-api"
import duckdb from "@duckdb/node-bindings"
import type * as Arrow from "apache-arrow"
import { type QueryError, queryError } from "../QueryApi.ts"
import type { Steps } from "./Steps.ts"
import * as Strings from "./Strings.ts"
import type * as Types from "./Types.ts"
import type { Source } from "./VectorSource.ts"

type Module = typeof Arrow
type Rows = Int32Array<ArrayBuffer>

/**
 * Types without an Arrow counterpart that readers agree on. They are sent as the text that DuckDB prints. The
 * query casts them, so this module never sees them.
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

/**
 * The cast types of columns, applied before their values get here. An Arrow decimal has 38 digits at most:
 * the cast fails on the few HUGEINTs that have more.
 */
export const rename: Types.Rename = (type) => {
  if (type.typeId === DuckDBTypeId.HUGEINT) return "DECIMAL(38,0)"
  return asText.has(type.typeId) ? "VARCHAR" : undefined
}

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

/** How many values are processed in one step: some milliseconds. */
const stepValues = 64 * 1024

/** Bytes of text that are copied in one step. */
const stepBytes = 1024 * 1024

/** Reads the columns of one batch, in steps over all of them. */
export class Reader {
  private readonly arrow: Module
  private work = 0
  /** The name of the current column, for errors. */
  column = ""

  constructor(arrow: Module) {
    this.arrow = arrow
  }

  /** The rows of a column, or of a nested vector, as Arrow data of `target`'s type. */
  *read(source: Source, type: DuckDBType, target: Arrow.DataType, from: Rows): Steps<Arrow.Data> {
    const rows = yield* this.validOf(source, from)
    const nulls = yield* this.nullsOf(rows)
    const child = (inner: Source, innerType: DuckDBType, index: number, innerRows: Rows) =>
      this.read(
        inner,
        innerType,
        (target.children as ReadonlyArray<Arrow.Field>)[index]?.type as never,
        innerRows
      )
    const make = (props: object): Arrow.Data =>
      this.arrow.makeData({ type: target, length: rows.length, ...nulls, ...props } as never)

    switch (type.typeId) {
      case DuckDBTypeId.LIST:
      case DuckDBTypeId.MAP: {
        const { childRows, valueOffsets } = yield* this.unnest(source, rows)
        const size = duckdb.list_vector_get_size(source.vector)
        const items = source.child(0, () => duckdb.list_vector_get_child(source.vector), size)
        const inner = type.typeId === DuckDBTypeId.LIST ? type.valueType : entriesOf(type)
        return make({ valueOffsets, child: yield* child(items, inner, 0, childRows) })
      }
      case DuckDBTypeId.ARRAY: {
        const { length } = type
        const childRows = yield* this.spread(rows, length)
        const size = source.size * length
        const items = source.child(0, () => duckdb.array_vector_get_child(source.vector), size)
        return make({ child: yield* child(items, type.valueType, 0, childRows) })
      }
      case DuckDBTypeId.STRUCT: {
        const children: Array<Arrow.Data> = []
        for (const [index, inner] of type.entryTypes.entries()) {
          children.push(yield* child(member(source, index), inner, index, rows))
        }
        return make({ children })
      }
      case DuckDBTypeId.UNION: {
        // Physically a struct whose first member is the tag. Arrow's unions have no NULL of their own, so a
        // NULL becomes the first member's.
        const tags = member(source, 0).bytes(1)
        const typeIds = new Int8Array(rows.length)
        yield* this.each(rows.length, (at) => {
          const row = rows[at] as number
          typeIds[at] = row === -1 ? 0 : (tags[row] as number)
        })
        const children: Array<Arrow.Data> = []
        for (const [index, inner] of type.memberTypes.entries()) {
          const own = new Int32Array(rows.length)
          yield* this.each(rows.length, (at) => {
            own[at] = typeIds[at] === index ? (rows[at] as number) : -1
          })
          children.push(yield* child(member(source, index + 1), inner, index, own))
        }
        const props = { type: target as Arrow.SparseUnion, length: rows.length, typeIds, children }
        return this.arrow.makeData(props as never)
      }
      case DuckDBTypeId.VARCHAR:
      case DuckDBTypeId.BLOB:
        return make(yield* this.stringsOf(source, rows))
      case DuckDBTypeId.SQLNULL:
        return this.arrow.makeData({ type: target as Arrow.Null, length: rows.length })
      default:
        return make({ data: yield* this.fixedOf(source, type, rows) })
    }
  }

  /** Calls `work` for each index below `count`, in steps that all calls share. */
  private *each(count: number, work: (index: number) => void): Steps<void> {
    for (let index = 0; index < count; ) {
      const end = Math.min(count, index + stepValues - this.work)
      this.work += end - index
      while (index < end) work(index++)
      if (this.work < stepValues) return
      this.work = 0
      yield
    }
  }

  /** The rows, with -1 for those that are NULL here. */
  private *validOf({ isValid }: Source, from: Rows): Steps<Rows> {
    const rows = new Int32Array(from.length)
    yield* this.each(from.length, (index) => {
      const row = from[index] as number
      rows[index] = row !== -1 && isValid(row) ? row : -1
    })
    return rows
  }

  private *nullsOf(
    rows: Rows
  ): Steps<{ readonly nullCount: number; readonly nullBitmap?: Uint8Array | undefined }> {
    const nullBitmap = new Uint8Array(Math.ceil(rows.length / 8))
    let nullCount = 0
    yield* this.each(rows.length, (index) => {
      if (rows[index] === -1) nullCount++
      else nullBitmap[index >> 3] = (nullBitmap[index >> 3] as number) | (1 << (index & 7))
    })
    return nullCount === 0 ? { nullCount } : { nullCount, nullBitmap }
  }

  /** A list entry is an offset and a length, 8 bytes each; a chunk's child never needs more than 4 of them. */
  private *unnest(
    source: Source,
    rows: Rows
  ): Steps<{ readonly valueOffsets: Int32Array; readonly childRows: Rows }> {
    const bytes = source.bytes(16)
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, source.size * 4)
    const lengthOf = (row: number) => (row === -1 ? 0 : (words[row * 4 + 2] as number))
    const valueOffsets = new Int32Array(rows.length + 1)
    yield* this.each(rows.length, (index) => {
      valueOffsets[index + 1] = (valueOffsets[index] as number) + lengthOf(rows[index] as number)
    })
    const childRows = new Int32Array(valueOffsets[rows.length] as number)
    let index = 0
    yield* this.each(childRows.length, (at) => {
      while (at >= (valueOffsets[index + 1] as number)) index++
      childRows[at] = (words[(rows[index] as number) * 4] as number) + at - (valueOffsets[index] as number)
    })
    return { valueOffsets, childRows }
  }

  /** The rows of an array's child. */
  private *spread(rows: Rows, length: number): Steps<Rows> {
    const childRows = new Int32Array(rows.length * length)
    yield* this.each(childRows.length, (at) => {
      const row = rows[Math.floor(at / length)] as number
      childRows[at] = row === -1 ? -1 : row * length + (at % length)
    })
    return childRows
  }

  private *stringsOf(
    source: Source,
    rows: Rows
  ): Steps<{ readonly valueOffsets: Int32Array; readonly data: Uint8Array }> {
    const valueOffsets = new Int32Array(rows.length + 1)
    const valid: Array<number> = []
    const strings = Strings.of(source.bytes(16))
    yield* this.each(rows.length, (index) => {
      const row = rows[index] as number
      if (row !== -1) valid.push(row)
      valueOffsets[index + 1] =
        (valueOffsets[index] as number) + (row === -1 ? 0 : Strings.length(strings, row))
    })
    const data = Buffer.allocUnsafeSlow(valueOffsets[rows.length] as number)
    yield* Strings.copyInto(data, strings, Int32Array.from(valid), stepBytes)
    return { valueOffsets, data }
  }

  /** Values of a fixed width, in Arrow's layout. */
  private *fixedOf(source: Source, type: DuckDBType, rows: Rows): Steps<Uint8Array> {
    switch (type.typeId) {
      case DuckDBTypeId.BOOLEAN:
        return yield* this.bits(yield* this.gather(source, rows, 1))
      case DuckDBTypeId.DECIMAL: {
        const width = decimalWidth(type.width)
        return yield* this.widen(yield* this.gather(source, rows, width), width)
      }
      case DuckDBTypeId.INTERVAL:
        return yield* this.microsToNanos(yield* this.gather(source, rows, 16))
      default:
        return yield* this.gather(source, rows, widths[type.typeId] ?? 8)
    }
  }

  /** The values of the rows in sequence; zeroes for NULL. */
  private *gather(source: Source, rows: Rows, width: number): Steps<Uint8Array<ArrayBuffer>> {
    const target = new Uint8Array(rows.length * width)
    if (source.size === 0) return target
    const bytes = source.bytes(width)
    // Adjacent values are copied together; a step boundary cuts a run in two.
    let start = 0
    yield* this.each(rows.length, (index) => {
      const row = rows[index] as number
      const isEnd = row === -1 || rows[index + 1] !== row + 1 || index - start >= stepValues
      if (!isEnd) return
      if (row !== -1) {
        const first = rows[start] as number
        target.set(bytes.subarray(first * width, (row + 1) * width), start * width)
      }
      start = index + 1
    })
    return target
  }

  private *bits(booleans: Uint8Array): Steps<Uint8Array> {
    const packed = new Uint8Array(Math.ceil(booleans.length / 8))
    yield* this.each(booleans.length, (index) => {
      if (booleans[index] !== 0) packed[index >> 3] = (packed[index >> 3] as number) | (1 << (index & 7))
    })
    return packed
  }

  /** Sign-extends little-endian integers to 16 bytes. */
  private *widen(values: Uint8Array, width: number): Steps<Uint8Array> {
    if (width === 16) return values
    const target = new Uint8Array((values.length / width) * 16)
    yield* this.each(values.length / width, (index) => {
      const from = index * width
      const to = index * 16
      for (let byte = 0; byte < width; byte++) target[to + byte] = values[from + byte] as number
      if ((values[from + width - 1] as number) >= 0x80) target.fill(0xff, to + width, to + 16)
    })
    return target
  }

  /** An interval's last 8 of 16 bytes are microseconds in DuckDB, nanoseconds in Arrow. */
  private *microsToNanos(intervals: Uint8Array<ArrayBuffer>): Steps<Uint8Array> {
    const words = new BigInt64Array(intervals.buffer)
    yield* this.each(words.length / 2, (index) => {
      const nanos = (words[index * 2 + 1] as bigint) * 1000n
      words[index * 2 + 1] = nanos
      if (words[index * 2 + 1] !== nanos) throw this.tooLongInterval()
    })
    return intervals
  }

  private tooLongInterval(): QueryError {
    return queryError(
      "execution_failed",
      `The column ${this.column} has an INTERVAL whose hours, minutes and seconds are beyond the 292 years of nanoseconds that Arrow has for them; cast it to VARCHAR`
    )
  }
}

const member = (source: Source, index: number): Source =>
  source.child(index, () => duckdb.struct_vector_get_child(source.vector, index), source.size)

const entriesOf = (type: { readonly keyType: DuckDBType; readonly valueType: DuckDBType }): DuckDBType =>
  ({
    typeId: DuckDBTypeId.STRUCT,
    entryNames: ["key", "value"],
    entryTypes: [type.keyType, type.valueType]
  }) as unknown as DuckDBType

const widths: { readonly [Id in DuckDBTypeId]?: number } = {
  [DuckDBTypeId.TINYINT]: 1,
  [DuckDBTypeId.UTINYINT]: 1,
  [DuckDBTypeId.SMALLINT]: 2,
  [DuckDBTypeId.USMALLINT]: 2,
  [DuckDBTypeId.INTEGER]: 4,
  [DuckDBTypeId.UINTEGER]: 4,
  [DuckDBTypeId.FLOAT]: 4,
  [DuckDBTypeId.DATE]: 4
}

/** DuckDB stores a decimal in the narrowest integer that holds its digits. */
const decimalWidth = (digits: number): number => (digits <= 4 ? 2 : digits <= 9 ? 4 : digits <= 18 ? 8 : 16)
