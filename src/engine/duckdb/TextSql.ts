/**
 * SQL that makes DuckDB itself print each row of a query as text.
 *
 * Every statement here ends with the row of `Sentinel`, in the shape that its docs say.
 */
import type { DuckDBType } from "@duckdb/node-api"
import type { ResultLimits } from "../Limits.ts"
import * as RowSize from "./RowSize.ts"
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

/** A source whose larger rows are not to be made. */
export interface Bounded {
  readonly source: Source
  readonly limits: Pick<ResultLimits, "maxRowSize">
}

/** A JSON object with a line feed after it. */
export const ndjson = (rows: Bounded): string => objects(rows, "{", "}\n")

/** A JSON object with a comma before it. */
export const json = (rows: Bounded): string => objects(rows, ",{", "}")

/**
 * Rows without NULL and non-finite numbers are joined from the texts of their columns, which takes DuckDB a
 * sixth less time than `to_json` of the row; the others look at each column.
 */
const objects = (rows: Bounded, before: string, after: string): string => {
  const fields = rows.source.columns.map(jsonField)
  const plain = fields.flatMap(({ key, quote, text }, index) => [
    Sql.literal(`${index === 0 ? before : `${fields[index - 1]?.quote},`}${key}${quote}`),
    text
  ])
  const careful = fields.flatMap(({ key, quote, text, present }, index) => [
    Sql.literal(`${index === 0 ? before : ","}${key}`),
    `CASE WHEN ${present} THEN ${quote === "" ? text : `concat('"', ${text}, '"')`} ELSE 'null' END`
  ])
  const ofPlain = [...plain, Sql.literal(`${fields.at(-1)?.quote}${after}`)].join(", ")
  const ofCareful = [...careful, Sql.literal(after)].join(", ")
  const allPresent = fields.map(({ present }) => present).join(" AND ")
  return texts(rows, `CASE WHEN ${allPresent} THEN concat(${ofPlain}) ELSE concat(${ofCareful}) END`)
}

/** A column as a member of an object. */
interface JsonField {
  readonly key: string
  /** SQL for whether there is a value; JSON has no word for a number that is not finite. */
  readonly present: string
  /** SQL for the value's text, which stands between two of `quote`. */
  readonly text: string
  readonly quote: '"' | ""
}

/** Types whose text needs no escapes. A cast makes it faster than `to_json`, which numbers are best left to. */
const quotedTypes = /^(DATE|TIME(STAMP)?(_S|_MS|_NS)?( WITH TIME ZONE)?|INTERVAL|UUID)$/

const jsonField = ({ name, type }: ResultColumn, index: number): JsonField => {
  const column = `c${index}`
  const typeName = Types.name(type)
  const quoted = quotedTypes.test(typeName)
  const named = Types.mayHaveUnnamed(type) ? `CAST(${column} AS ${typeName})` : column
  return {
    key: `${JSON.stringify(name)}:`,
    present: Types.isFloat(typeName) ? `isfinite(${column})` : `${column} IS NOT NULL`,
    text: quoted ? `CAST(${column} AS VARCHAR)` : `to_json(${named})`,
    quote: quoted ? '"' : ""
  }
}

/** A record of RFC 4180 with its CRLF. */
export const csv = (rows: Bounded): string => {
  const fields = rows.source.columns.map(({ type }, index) => csvField(`c${index}`, Types.name(type)))
  return texts(rows, `concat(${fields.join(", ',', ")}, chr(13) || chr(10))`)
}

/** What a row may measure before DuckDB is told, in bytes; and how often it is told from there on. */
const longText = 512
const textStep = 64

/**
 * A column beside rows of this many bytes that nobody reads.
 *
 * DuckDB counts a string in its buffer as 16 bytes whatever its length, but a list by its elements. So long
 * rows have a list beside them, an eighth as long as themselves, and the buffer is full before the memory is.
 */
const weight = (bytes: string): string =>
  `CASE WHEN ${bytes} > ${longText} THEN range(0, ${bytes}, ${textStep}) END`

/** What stands beside a row that is too large: more than beside the sentinel. */
const tooLarge = "[0::BIGINT]"

/** Two columns: the text of each row, which is NULL in the sentinel and in a row that is too large, and its weight. */
const texts = ({ limits, source }: Bounded, text: string): string => {
  const size = RowSize.sql(source.columns)
  const guarded =
    typeof size === "number" ? text : `CASE WHEN ${size} <= ${limits.maxRowSize} THEN ${text} END`
  return `SELECT t, CASE WHEN t IS NULL THEN ${tooLarge} ELSE ${weight("strlen(t)")} END FROM (SELECT ${guarded} AS t ${fromRenamed(source)}) UNION ALL SELECT NULL, NULL FROM ${Sentinel.table}`
}

/**
 * The columns, cast to what `rename` makes of their types, and two after them: a BOOLEAN that is true in the
 * sentinel, whose other columns are NULL, and NULL in a row that is too large; and the size of the row (see
 * `RowSize`).
 */
export const typed = (rows: Bounded, rename: Types.Rename): string =>
  unionSentinel(rows.source, `${sized(rows, rename)} ${fromSized(rows.source)}`, "true, 0")

/** The same, and a weight by the size. */
export const weighed = (rows: Bounded, rename: Types.Rename): string =>
  unionSentinel(
    rows.source,
    `${sized(rows, rename)}, ${weight("size")} ${fromSized(rows.source)}`,
    "true, 0, NULL"
  )

const sized = ({ limits, source }: Bounded, rename: Types.Rename): string =>
  `${casts(source, rename)}, CASE WHEN size <= ${limits.maxRowSize} THEN false END, size`

const fromSized = (source: Source): string =>
  `FROM (SELECT *, CAST(${RowSize.sql(source.columns)} AS BIGINT) AS size ${fromRenamed(source)})`

const casts = (source: Source, rename: Types.Rename): string =>
  source.columns
    .map(({ type }, index) => {
      const target = Types.name(type, rename)
      return target === type.toString() ? `c${index}` : `CAST(c${index} AS ${target})`
    })
    .join(", ")

const unionSentinel = (source: Source, rows: string, end: string): string =>
  `SELECT ${rows} UNION ALL SELECT ${source.columns.map(() => "NULL").join(", ")}, ${end} FROM ${Sentinel.table}`

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
