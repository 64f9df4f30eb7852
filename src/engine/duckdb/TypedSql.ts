/**
 * SQL for the rows of a query with the types of a binary format.
 */
import { type DuckDBType, DuckDBTypeId } from "@duckdb/node-api"
import * as Limits from "../Limits.ts"
import * as RowSize from "./RowSize.ts"
import * as Sentinel from "./Sentinel.ts"
import * as Slices from "./Slices.ts"
import * as Sql from "./Sql.ts"
import type { Bounded } from "./TextSql.ts"
import * as Types from "./Types.ts"

/**
 * The columns with their names, cast to the types of `rename`, and at most one row more than `maxResultRows`.
 * It has no sentinel. It fails at a row larger than a lowered `maxRowSize`: measuring keeps one vector of
 * rows until the next one, and an export would need more memory than DuckDB's own.
 */
export const named = ({ limits, source }: Bounded, rename: Types.Rename): string => {
  const size = limits.maxRowSize < Limits.defaults.maxRowSize ? RowSize.sql(source.columns) : 0
  const columns = casts(source.columns, rename).map(({ sql, type }, index) => {
    // DuckDB computes the first column of a chunk before the others.
    const isGuard = index === 0 && typeof size === "string"
    const guarded = isGuard ? when(`${size} <= ${limits.maxRowSize}`, sql, type, fail(limits)) : sql
    return `${guarded} AS ${Sql.identifier(source.columns[index]?.name ?? "")}`
  })
  const limit = Number.isFinite(limits.maxResultRows) ? ` LIMIT ${limits.maxResultRows + 1}` : ""
  return `SELECT ${columns.join(", ")} ${Slices.fromRenamed(source)}${limit}`
}

/** The message for a row larger than `maxRowSize`. */
export const tooLargeMessage = ({ maxRowSize }: Pick<Limits.ResultLimits, "maxRowSize">): string =>
  `A row is larger than ${maxRowSize} bytes (maxRowSize); the result is incomplete`

const fail = (limits: Pick<Limits.ResultLimits, "maxRowSize">): string =>
  `error(${Sql.literal(tooLargeMessage(limits))})`

/**
 * The columns, cast to the types of `rename`, and three after them:
 *
 * - a BOOLEAN that is true in the sentinel, whose other columns are NULL, and NULL in a row that is too large;
 * - the size of the row (see `RowSize`);
 * - its weight.
 */
export const weighed = (rows: Bounded, rename: Types.Rename): string => {
  const { limits, source } = rows
  const state = `CASE WHEN size <= ${limits.maxRowSize} THEN false END`
  const columns = casts(source.columns, rename).map(({ sql }) => sql)
  return (
    `SELECT ${columns.join(", ")}, ${state}, size, ${Slices.weight} FROM (${Slices.rows(rows)}) ` +
    `UNION ALL SELECT ${columns.map(() => "NULL").join(", ")}, true, 0, NULL FROM ${Sentinel.table}`
  )
}

/**
 * The value if a condition holds. DuckDB has no CASE for arrays of a fixed size, but for lists of anything.
 */
const when = (condition: string, sql: string, type: DuckDBType, otherwise = "NULL"): string =>
  Types.some(type, ({ typeId }) => typeId === DuckDBTypeId.ARRAY)
    ? `list_extract(CASE WHEN ${condition} THEN [${sql}] ELSE ${otherwise} END, 1)`
    : `CASE WHEN ${condition} THEN ${sql} ELSE ${otherwise} END`

/** SQL for a column, and the type that it had before its cast. */
interface Cast {
  readonly sql: string
  readonly type: DuckDBType
}

const casts = (
  columns: ReadonlyArray<{ readonly type: DuckDBType }>,
  rename: Types.Rename
): ReadonlyArray<Cast> =>
  columns.map(({ type }, index) => {
    const column = Sql.column(index)
    const sql = needsCast(type, rename) ? `CAST(${column} AS ${Types.castName(type, rename)})` : column
    return { sql, type }
  })

const needsCast = (type: DuckDBType, rename: Types.Rename): boolean =>
  Types.mayHaveUnnamed(type) || Types.some(type, (inner) => rename(inner) !== undefined)
