/**
 * SQL that makes DuckDB itself print each row of a query as text.
 *
 * Every statement here ends with the row of `Sentinel`, in the shape that its docs say.
 */
import type { DuckDBType } from "@duckdb/node-api"
import * as Sentinel from "./Sentinel.ts"
import * as Sql from "./Sql.ts"
import * as Types from "./Types.ts"

/** A column of a result. */
export interface ResultColumn {
  readonly name: string
  readonly type: DuckDBType
}

/** Where rows come from: a statement that can stand in a `FROM` clause, and its columns. */
export interface Source {
  readonly sql: string
  readonly columns: ReadonlyArray<ResultColumn>
}

/** One column: a JSON object with a line feed after it. The sentinel is NULL. */
export const ndjson = (source: Source): string => objects(source, "concat(to_json(", "), chr(10))")

/** One column: a JSON object with a comma before it. The sentinel is NULL. */
export const json = (source: Source): string => objects(source, "concat(',', to_json(", "))")

const objects = (source: Source, before: string, after: string): string => {
  const row = rowAlias(source.columns)
  return `SELECT ${before}${row}${after} FROM (\n${named(source)}\n) AS ${row} UNION ALL SELECT NULL FROM ${Sentinel.table}`
}

/** The source with a name for every field. */
const named = (source: Source): string => {
  if (!source.columns.some(({ type }) => Types.mayHaveUnnamed(type))) return source.sql
  const columns = source.columns.map(
    ({ name, type }, index) => `CAST(c${index} AS ${Types.name(type)}) AS ${Sql.identifier(name)}`
  )
  return `SELECT ${columns.join(", ")} ${fromRenamed(source)}`
}

/** `to_json(x)` means the column `x` before the row `x`, so the row is called as no column is. */
const rowAlias = (columns: ReadonlyArray<ResultColumn>): string => {
  const taken = new Set(columns.map(({ name }) => name.toLowerCase()))
  let alias = "r"
  while (taken.has(alias)) alias += "_"
  return alias
}

/** One column: a record of RFC 4180 with its CRLF. The sentinel is NULL. */
export const csv = (source: Source): string => {
  const fields = source.columns.map(({ type }, index) => csvField(`c${index}`, Types.name(type)))
  return `SELECT concat(${fields.join(", ',', ")}, chr(13) || chr(10)) ${fromRenamed(source)} UNION ALL SELECT NULL FROM ${Sentinel.table}`
}

/**
 * The columns, cast to what `rename` makes of their types, and one BOOLEAN after them, which is true in the
 * sentinel, whose other columns are NULL.
 */
export const typed = (source: Source, rename: Types.Rename): string => {
  const columns = source.columns.map(({ type }, index) => {
    const target = Types.name(type, rename)
    return target === type.toString() ? `c${index}` : `CAST(c${index} AS ${target})`
  })
  const nulls = source.columns.map(() => "NULL")
  return `SELECT ${columns.join(", ")}, false ${fromRenamed(source)} UNION ALL SELECT ${nulls.join(", ")}, true FROM ${Sentinel.table}`
}

/** Names of our own: the query's need quoting, and may occur twice. */
const fromRenamed = (source: Source): string =>
  `FROM (\n${source.sql}\n) AS r(${source.columns.map((_, index) => `c${index}`).join(", ")})`

/** Types whose text has neither comma, quote nor line break, and is never empty. */
const plainTypes =
  /^(BOOLEAN|U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL\(\d+,\d+\)|BIGNUM|DATE|TIME(STAMP)?(_S|_MS|_NS)?( WITH TIME ZONE)?|INTERVAL|UUID|BIT)$/

const csvField = (column: string, type: string): string => {
  const text = `CAST(${column} AS VARCHAR)`
  if (plainTypes.test(type)) return text
  const special = ["'\"'", "','", "chr(10)", "chr(13)"].map((character) => `contains(${text}, ${character})`)
  // Quotes tell an empty string from NULL, which is an empty field.
  return `CASE WHEN ${text} = '' OR ${special.join(" OR ")} THEN concat('"', replace(${text}, '"', '""'), '"') ELSE ${text} END`
}

/** The header record. */
export const csvHeader = (columns: ReadonlyArray<ResultColumn>): string =>
  `${columns.map(({ name }) => quoteIfNeeded(name)).join(",")}\r\n`

const quoteIfNeeded = (text: string): string =>
  text === "" || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
