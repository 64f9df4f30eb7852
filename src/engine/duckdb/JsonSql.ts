/**
 * SQL for the values of rows as JSON.
 *
 * Where DuckDB's `to_json` would change a value, something else is done first: it makes a DOUBLE of a FLOAT and of
 * a short DECIMAL, and drops the zero of 0.5 if the type has no digits before the point.
 */
import { type DuckDBDecimalType, type DuckDBType, DuckDBTypeId } from "@duckdb/node-api"
import type { Numbers } from "../QueryApi.ts"
import * as Sql from "./Sql.ts"
import type { ResultColumn } from "./TextSql.ts"
import * as Types from "./Types.ts"

/** A column as a member of an object. */
export interface Field {
  readonly key: string
  /** SQL for whether there is a value that JSON has a word for, which a number that is not finite has not. */
  readonly present: string
  /** SQL for what stands in the place of any other. */
  readonly absent: string
  /** SQL for the value's text, which stands between two of `quote`. */
  readonly text: string
  readonly quote: '"' | ""
}

export const field = ({ name, type }: ResultColumn, index: number, numbers: Numbers): Field => {
  const column = Sql.column(index)
  const isQuoted = quotedTypes.has(type.typeId) || (numbers === "string" && Types.isWideNumber(type))
  return {
    key: `${JSON.stringify(name)}:`,
    absent: Types.isFloat(type) && numbers === "string" ? notFinite(column) : "'null'",
    present: Types.isFloat(type) ? `isfinite(${column})` : `${column} IS NOT NULL`,
    text: isQuoted ? scalarText(type, column) : valueText(type, column, numbers),
    quote: isQuoted ? '"' : ""
  }
}

/** A number that is not finite as a string, or NULL. */
const notFinite = (column: string): string =>
  `CASE WHEN ${column} IS NULL THEN 'null' WHEN isnan(${column}) THEN '"NaN"' ` +
  `WHEN ${column} > 0 THEN '"Infinity"' ELSE '"-Infinity"' END`

/** Types whose text needs quotes and no escapes. A cast makes it faster than `to_json`. */
const quotedTypes: ReadonlySet<DuckDBTypeId> = new Set([
  DuckDBTypeId.DATE,
  DuckDBTypeId.TIME,
  DuckDBTypeId.TIME_NS,
  DuckDBTypeId.TIME_TZ,
  DuckDBTypeId.TIMESTAMP,
  DuckDBTypeId.TIMESTAMP_S,
  DuckDBTypeId.TIMESTAMP_MS,
  DuckDBTypeId.TIMESTAMP_NS,
  DuckDBTypeId.TIMESTAMP_TZ,
  DuckDBTypeId.INTERVAL,
  DuckDBTypeId.UUID
])

const valueText = (type: DuckDBType, column: string, numbers: Numbers): string => {
  if (type.typeId === DuckDBTypeId.FLOAT || type.typeId === DuckDBTypeId.DECIMAL)
    return scalarText(type, column)
  if (Types.isJson(type)) return jsonText(column)
  return Types.childrenOf(type).length === 0
    ? `to_json(${column})`
    : `to_json(${prepared(type, column, numbers)})`
}

/** The text of a value as DuckDB casts it, which is the shortest that gives the same number. */
export const scalarText = (type: DuckDBType, column: string): string => {
  const text = `CAST(${column} AS VARCHAR)`
  return type.typeId === DuckDBTypeId.DECIMAL && type.width === type.scale
    ? `CASE WHEN ${column} < 0 THEN concat('-0', substr(${text}, 2)) ELSE concat('0', ${text}) END`
    : text
}

/**
 * The text of a JSON column is taken as it is, with all digits of its numbers, unless it has line breaks or commas
 * that JSON does not allow. Nobody checked what a file has in such a column: other text becomes a JSON string.
 * Numbers without a digit before the point, as DuckDB's own functions make them, are mended later (`JsonText`).
 */
const jsonText = (column: string): string => {
  const text = `CAST(${column} AS VARCHAR)`
  const mended = `regexp_replace(${text}, '(^|[\\[,:])(-?)\\.', '\\1\\20.', 'g')`
  return (
    `CASE WHEN json_valid(${column}) THEN CASE WHEN regexp_matches(${text}, '[\\r\\n]|,\\s*[\\]}]') ` +
    `THEN CAST(to_json(${column}) AS VARCHAR) ELSE ${text} END ` +
    `WHEN json_valid(${mended}) THEN ${text} ELSE CAST(to_json(${text}) AS VARCHAR) END`
  )
}

/** A nested value whose parts `to_json` does not change. */
const prepared = (type: DuckDBType, column: string, numbers: Numbers): string => {
  const asStrings = numbers === "string"
  const needsCast = (inner: DuckDBType): boolean =>
    inner.typeId === DuckDBTypeId.FLOAT ||
    inner.typeId === DuckDBTypeId.DECIMAL ||
    (asStrings && Types.isWideNumber(inner))
  if (!Types.some(type, needsCast) && !Types.mayHaveUnnamed(type)) return column
  const first = Types.castName(type, (inner) => {
    if (inner.typeId === DuckDBTypeId.FLOAT) return "VARCHAR"
    return asStrings && inner.typeId === DuckDBTypeId.DECIMAL ? withInteger(inner) : undefined
  })
  const second = Types.castName(type, (inner) => {
    if (inner.typeId === DuckDBTypeId.FLOAT) return "DOUBLE"
    if (asStrings && Types.isWideNumber(inner)) return "VARCHAR"
    return inner.typeId === DuckDBTypeId.DECIMAL ? `DECIMAL(38,${inner.scale})` : undefined
  })
  return `CAST(CAST(${column} AS ${first}) AS ${second})`
}

/** A decimal with room for a digit before the point, if there is one. */
const withInteger = ({ scale, width }: DuckDBDecimalType): string =>
  `DECIMAL(${Math.min(38, Math.max(width, scale + 1))},${scale})`
