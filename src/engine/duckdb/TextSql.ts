/**
 * SQL that makes DuckDB itself print each row of a query as text.
 *
 * Every statement here ends with the row of `Sentinel`, in the documented shape.
 */
import { type DuckDBType, DuckDBTypeId } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import type { ResultLimits } from "../Limits.ts"
import type { Numbers, QueryError } from "../QueryApi.ts"
import * as Failure from "./Failure.ts"
import * as JsonSql from "./JsonSql.ts"
import type * as Place from "./Place.ts"
import * as Sentinel from "./Sentinel.ts"
import * as Slices from "./Slices.ts"
import * as Sql from "./Sql.ts"

/** A column of a result. */
export interface ResultColumn {
  readonly name: string
  readonly type: DuckDBType
}

/** A source of rows: a statement that can be used in a `FROM` clause, and its columns. */
export interface Source {
  readonly sql: string
  /** Finds the place in the client's text of a failure in SQL that was made from it. */
  readonly locate?: Place.Locate | undefined
  readonly columns: ReadonlyArray<ResultColumn>
}

/** A source, with a limit above which rows are not made. */
export interface Bounded {
  readonly source: Source
  readonly limits: Pick<ResultLimits, "maxRowSize" | "maxResultRows">
}

/**
 * Fails with the error of SQL that was made from a source: the client's message, with the names of the
 * columns and the place in the client's text.
 */
export const failed =
  ({ columns, locate }: Source, sql: string) =>
  (failure: Failure.Failure): Effect.Effect<never, QueryError> => {
    const names = columns.map(({ name }) => name)
    const named = { ...failure, message: Sql.withNames(failure.message, names) }
    return Effect.flatMap(locate?.(failure, sql) ?? Effect.undefined, (position) =>
      Effect.fail(Failure.toError(named, position))
    )
  }

/** A JSON object with a line feed after it. */
export const ndjson = (rows: Bounded, numbers: Numbers): string => objects(rows, numbers, "{", "}\n")

/** A JSON object with a comma before it. */
export const json = (rows: Bounded, numbers: Numbers): string => objects(rows, numbers, ",{", "}")

/**
 * Rows without NULL and non-finite numbers are joined from the texts of their columns, which takes DuckDB a
 * sixth less time than `to_json` of the row. For the others each column is checked.
 */
const objects = (rows: Bounded, numbers: Numbers, before: string, after: string): string => {
  const fields = rows.source.columns.map((column, index) => JsonSql.field(column, index, numbers))
  const plain = fields.flatMap(({ key, quote, text }, index) => [
    Sql.literal(`${index === 0 ? before : `${fields[index - 1]?.quote},`}${key}${quote}`),
    text
  ])
  const careful = fields.flatMap((field, index) => [
    Sql.literal(`${index === 0 ? before : ","}${field.key}`),
    JsonSql.textOf(field)
  ])
  const ofPlain = [...plain, Sql.literal(`${fields.at(-1)?.quote}${after}`)].join(", ")
  const ofCareful = [...careful, Sql.literal(after)].join(", ")
  const allPresent = fields.map(({ present }) => present).join(" AND ")
  return texts(rows, `CASE WHEN ${allPresent} THEN concat(${ofPlain}) ELSE concat(${ofCareful}) END`)
}

/** A record of RFC 4180 with its CRLF. */
export const csv = (rows: Bounded): string => {
  const fields = rows.source.columns.map(({ type }, index) => csvField(Sql.column(index), type))
  return texts(rows, `concat(${fields.join(", ',', ")}, chr(13) || chr(10))`)
}

/** The weight of a row that is too large; unlike the sentinel's it is not NULL. */
const tooLarge = "[0::BIGINT]"

/**
 * Two columns: the text of each row, which is NULL in the sentinel and in a row that is too large, and its
 * weight. Empty rows (see `Slices`) have an empty text, which no real row has.
 */
const texts = (rows: Bounded, text: string): string => {
  const { maxRowSize } = rows.limits
  const guarded = `CASE WHEN slice > 0 THEN '' WHEN size <= ${maxRowSize} THEN ${text} END`
  const weight = `CASE WHEN size > ${maxRowSize} THEN ${tooLarge} ELSE ${Slices.weight} END`
  return (
    `SELECT ${guarded}, ${weight} FROM (${Slices.sql(rows)}) ` +
    `UNION ALL SELECT NULL, NULL FROM ${Sentinel.table}`
  )
}

/** Types whose text may have a comma, a quote or a line break, or be empty. */
const specialTypes: ReadonlySet<DuckDBTypeId> = new Set([
  DuckDBTypeId.VARCHAR,
  DuckDBTypeId.BLOB,
  DuckDBTypeId.ENUM,
  DuckDBTypeId.LIST,
  DuckDBTypeId.ARRAY,
  DuckDBTypeId.STRUCT,
  DuckDBTypeId.MAP,
  DuckDBTypeId.UNION,
  DuckDBTypeId.VARIANT,
  DuckDBTypeId.GEOMETRY,
  DuckDBTypeId.SQLNULL
])

const csvField = (column: string, type: DuckDBType): string => {
  const text = JsonSql.scalarText(type, column)
  if (!specialTypes.has(type.typeId)) return text
  const special = ["'\"'", "','", "chr(10)", "chr(13)"].map((character) => `contains(${text}, ${character})`)
  // Quotes distinguish an empty string from NULL, which is an empty field.
  return `CASE WHEN ${text} = '' OR ${special.join(" OR ")} THEN concat('"', replace(${text}, '"', '""'), '"') ELSE ${text} END`
}

/** The header record. */
export const csvHeader = (columns: ReadonlyArray<ResultColumn>): string =>
  `${columns.map(({ name }) => quoteIfNeeded(name)).join(",")}\r\n`

const quoteIfNeeded = (text: string): string =>
  text === "" || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
