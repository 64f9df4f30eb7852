/**
 * SQL for the values of rows as JSON.
 *
 * `to_json` changes some values, which are converted first. It makes a DOUBLE of a FLOAT, of a short DECIMAL
 * and of the fractions in JSON, and drops the zero of 0.5 if the type has no digits before the point.
 */
import { type DuckDBDecimalType, type DuckDBType, DuckDBTypeId } from "@duckdb/node-api"
import type { Numbers } from "../QueryApi.ts"
import * as Sql from "./Sql.ts"
import type { ResultColumn } from "./TextSql.ts"
import * as Types from "./Types.ts"

/** A column as a member of an object. */
export interface Field extends Value {
  readonly key: string
}

interface Value {
  /** SQL for whether there is a value that JSON can hold; a non-finite number is none. */
  readonly present: string
  /** SQL for the replacement of any other value. */
  readonly absent: string
  /** SQL for the value's text, to be enclosed in `quote`. */
  readonly text: string
  readonly quote: '"' | ""
}

export const field = ({ name, type }: ResultColumn, index: number, numbers: Numbers): Field => ({
  key: `${JSON.stringify(name)}:`,
  ...valueOf(type, Sql.column(index), numbers)
})

/** `depth` makes the variables of nested lambdas distinct. */
const valueOf = (type: DuckDBType, value: string, numbers: Numbers, depth = 0): Value => {
  const isQuoted = quotedTypes.has(type.typeId) || (numbers === "string" && Types.isWideNumber(type))
  return {
    absent: Types.isFloat(type) && numbers === "string" ? notFinite(value) : "'null'",
    present: Types.isFloat(type) ? `isfinite(${value})` : `${value} IS NOT NULL`,
    text: isQuoted ? scalarText(type, value) : valueText(type, value, numbers, depth),
    quote: isQuoted ? '"' : ""
  }
}

/** SQL for the text of any value. */
export const textOf = ({ absent, present, quote, text }: Value): string =>
  `CASE WHEN ${present} THEN ${quote === "" ? text : `concat('"', ${text}, '"')`} ELSE ${absent} END`

/** A non-finite number as a string, or NULL. */
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

const valueText = (type: DuckDBType, value: string, numbers: Numbers, depth: number): string => {
  if (type.typeId === DuckDBTypeId.FLOAT || type.typeId === DuckDBTypeId.DECIMAL)
    return scalarText(type, value)
  if (Types.isJson(type)) return jsonText(value)
  if (Types.childrenOf(type).length === 0) return `to_json(${value})`
  return depth < maxDepth && Types.some(type, Types.isJson)
    ? partsText(type, value, numbers, depth)
    : `to_json(${prepared(type, value, numbers)})`
}

/** DuckDB's time to plan nested lambdas doubles with each level, from some sixteen on. */
const maxDepth = 6

/** A nested value, joined from the texts of its parts because there is JSON among them. */
const partsText = (type: DuckDBType, value: string, numbers: Numbers, depth: number): string => {
  const part = (inner: DuckDBType, sql: string) => textOf(valueOf(inner, sql, numbers, depth + 1))
  const variable = `v${depth}`
  const joined = (list: string, element: string) =>
    `array_to_string(list_transform(${list}, lambda ${variable}: ${element}), ',')`
  // DuckDB takes time for each named member of a large struct, so a member with JSON inside is named once.
  const once = (inner: DuckDBType, sql: string) =>
    `list_extract(list_transform([${sql}], lambda ${variable}: ${part(inner, variable)}), 1)`
  const member = (name: string, inner: DuckDBType, sql: string) =>
    `${Sql.literal(`${JSON.stringify(name)}:`)}, ${(Types.some(inner, Types.isJson) ? once : part)(inner, sql)}`
  switch (type.typeId) {
    case DuckDBTypeId.LIST:
    case DuckDBTypeId.ARRAY:
      return `concat('[', ${joined(value, part(type.valueType, variable))}, ']')`
    case DuckDBTypeId.MAP: {
      const key = `to_json(${scalarText(type.keyType, `${variable}.key`)})`
      const entry = `concat(${key}, ':', ${part(type.valueType, `${variable}.value`)})`
      return `concat('{', ${joined(`map_entries(${value})`, entry)}, '}')`
    }
    case DuckDBTypeId.STRUCT: {
      const members = type.entryTypes.map((inner, index) =>
        member(
          type.entryNames[index] || `element${index + 1}`,
          inner,
          `struct_extract_at(${value}, ${index + 1})`
        )
      )
      return `concat('{', ${members.join(", ',', ")}, '}')`
    }
    case DuckDBTypeId.UNION: {
      const members = type.memberTypes.map((inner, index) => {
        const tag = type.memberTags[index] ?? ""
        const extracted = `union_extract(${value}, ${Sql.literal(tag)})`
        return `WHEN ${Sql.literal(tag)} THEN concat('{', ${member(tag, inner, extracted)}, '}')`
      })
      return `CASE CAST(union_tag(${value}) AS VARCHAR) ${members.join(" ")} END`
    }
    default:
      return `to_json(${value})`
  }
}

/** The text of a value as DuckDB casts it, which is the shortest for the same number. */
export const scalarText = (type: DuckDBType, column: string): string => {
  const text = `CAST(${column} AS VARCHAR)`
  if (type.typeId === DuckDBTypeId.DECIMAL && type.width === type.scale) {
    return `CASE WHEN ${column} < 0 THEN concat('-0', substr(${text}, 2)) ELSE concat('0', ${text}) END`
  }
  return type.typeId === DuckDBTypeId.TIMESTAMP_TZ ? instantText(column, text) : text
}

/**
 * A cast with a time zone's calendar takes three times as long (1275 ms for 3 million on one thread,
 * against 371). It also counts milliseconds as a DOUBLE: from the year 287396 on it is off by one. All
 * sessions are in UTC.
 */
const instantText = (column: string, otherwise: string): string =>
  `CASE WHEN isfinite(${column}) THEN concat(CAST(make_timestamp(epoch_us(${column})) AS VARCHAR), '+00') ` +
  `ELSE ${otherwise} END`

/**
 * The text of a JSON column is kept unchanged, with all digits of its numbers, unless it has line breaks
 * or commas that JSON does not allow. A file's text in such a column is unchecked: other text becomes a
 * JSON string. Numbers without a digit before the point, as DuckDB's own functions make them, are repaired
 * later (`JsonText`).
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

/** A decimal with room for a digit before the point, if possible. */
const withInteger = ({ scale, width }: DuckDBDecimalType): string =>
  `DECIMAL(${Math.min(38, Math.max(width, scale + 1))},${scale})`
