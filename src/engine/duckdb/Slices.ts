/**
 * SQL for rows in chunks of a bounded size.
 *
 * A DuckDB chunk has 2048 rows of any length, and every expression over them keeps its values until the next
 * chunk: a query whose reader has stalled would hold hundreds of megabytes. So a long row is followed by
 * empty rows, one for each 128 bytes of it or more, which count among the 2048.
 */
import { type DuckDBType, DuckDBTypeId } from "@duckdb/node-api"
import * as RowSize from "./RowSize.ts"
import * as Sql from "./Sql.ts"
import type { Bounded, Source } from "./TextSql.ts"
import * as Types from "./Types.ts"

/** A chunk has at most 2048 times as many bytes of long rows, or one row. */
const minSliceBytes = 128

/** So many fill a chunk. More would make empty chunks: a row of 100 MB took a minute to end. */
const mostSlices = 2047

/** Bytes per column, because a chunk costs some time for each of them. */
const columnBytes = 4

/** Rows of fewer bytes have no empty rows after them. */
export const longRow = 256

/** The bytes of a long row for each element of its weight. */
const weightStep = 32

/**
 * An unread column beside the rows. DuckDB counts a text in its buffer as 16 bytes whatever its length, but a
 * list by its elements. So a long row has a list beside it, and the buffer is full before the memory is.
 */
export const weight = `CASE WHEN slice = 0 AND size >= ${longRow} THEN range(0, size, ${weightStep}) END`

/** The source with the engine's own column names. */
export const fromRenamed = (source: Source): string =>
  `FROM (\n${source.sql}\n) AS r(${source.columns.map((_, index) => Sql.column(index)).join(", ")})`

/**
 * The renamed columns, the `size` of each row as a BIGINT, and `slice`: 0 in a row, and more in the empty
 * rows after it, of which there are at most `most`.
 */
export const sql = ({ limits, source }: Bounded, most = mostSlices): string => {
  const size = RowSize.sql(source.columns)
  const sized = `SELECT *, CAST(${size} AS BIGINT) AS size ${fromRenamed(source)}`
  if (typeof size === "number" && size < longRow) return `SELECT *, 0 AS slice FROM (${sized})`
  const sliceBytes = Math.max(minSliceBytes, source.columns.length * columnBytes)
  const bounded = `least(size // ${sliceBytes}, ${most})`
  // If all rows of a chunk are short, DuckDB processes one list for all of them.
  const slices =
    `CASE WHEN size < ${longRow} OR size > ${limits.maxRowSize} THEN [0::BIGINT] ` +
    `ELSE range(0, 1 + ${bounded}) END`
  return `SELECT *, unnest(${slices}) AS slice FROM (${sized})`
}

/** DuckDB merges the filtered rows of several chunks if fewer than this are left of each. */
const wholeChunk = 64

/**
 * The same without the empty rows. A filter is fast, and chunks that it does not merge have at least
 * {@link wholeChunk} rows. All the elements of a chunk's lists are copied in one step, so a chunk must have
 * fewer rows with long lists; `unnest` does not merge chunks.
 */
export const rows = (bounded: Bounded): string =>
  bounded.source.columns.some(({ type }) => Types.some(type, isMany))
    ? `SELECT *, unnest(CASE WHEN slice = 0 THEN [0] ELSE [] END) FROM (${sql(bounded)})`
    : `SELECT * FROM (${sql(bounded, 2048 / wholeChunk - 1)}) WHERE slice = 0`

const isMany = ({ typeId }: DuckDBType): boolean =>
  typeId === DuckDBTypeId.LIST || typeId === DuckDBTypeId.MAP || typeId === DuckDBTypeId.ARRAY
