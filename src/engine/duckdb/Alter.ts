/**
 * The statements `ALTER TABLE` that DuckDB cannot run as one, or cannot repeat from its log.
 */
import { type DuckDBConnection, type DuckDBMaterializedResult, StatementType } from "@duckdb/node-api"
import { type QueryError, queryError } from "../QueryApi.ts"
import type { Words } from "./Words.ts"

/** The parts of `ADD COLUMN` whose default is an expression: ALTER, UPDATE and ALTER, in a transaction. */
const parts = 5

/** Whether DuckDB has split a single `ALTER TABLE … ADD COLUMN`. */
export const isSplit = (keyword: string | undefined, sql: string, count: number): boolean =>
  keyword === "alter" && count === parts && !sql.replace(/[\s;]+$/, "").includes(";")

const allowed: ReadonlySet<StatementType> = new Set([StatementType.ALTER, StatementType.UPDATE])

/** Runs the parts of a statement within the transaction of the connection. */
export const run = async (connection: DuckDBConnection, sql: string): Promise<DuckDBMaterializedResult> => {
  const extracted = await connection.extractStatements(sql)
  let result: DuckDBMaterializedResult | undefined
  for (let at = 1; at < extracted.count - 1; at++) {
    // DuckDB can bind a part only once the one before it has run.
    const prepared = await extracted.prepare(at)
    try {
      if (!allowed.has(prepared.statementType)) break
      result = await prepared.run()
    } finally {
      prepared.destroySync()
    }
  }
  if (result?.statementType !== StatementType.ALTER) throw new Error("DuckDB splits ADD COLUMN in a new way")
  return result
}

/**
 * Whether DuckDB logs the expression of an `ALTER TABLE`, and not the values that it made: `TYPE … USING`, and
 * `ADD COLUMN IF NOT EXISTS … DEFAULT`, which is not split.
 */
export const isRepeated = (sql: string, count: number): boolean =>
  count === 1 && (/\btype\b.*\busing\b/is.test(sql) || /\badd\b.*\bdefault\b/is.test(sql))

/** Calls without a parenthesis that have other results each time. */
const unstable: ReadonlySet<string> = new Set(
  "current_date current_time current_timestamp localtime localtimestamp".split(" ")
)

/**
 * A reason to refuse a statement that {@link isRepeated}: its values would be others if DuckDB repeated it.
 * `functions` have other results each time, and `macros` may call them.
 */
export const ofRepeated = (
  { all, called }: Words,
  functions: ReadonlySet<string>,
  macros: ReadonlySet<string>
): QueryError | undefined => {
  const name =
    [...called].find((name) => functions.has(name) || macros.has(name)) ??
    [...all].find((name) => unstable.has(name))
  return name === undefined
    ? undefined
    : queryError(
        "not_allowed",
        `DuckDB would call ${name} again, with other results, if the server failed before its next checkpoint: ` +
          "add a column without IF NOT EXISTS and set it with UPDATE"
      )
}
