/**
 * A result as a Parquet file.
 *
 * Parquet's index comes last and its row groups are large, so DuckDB writes the file to a private
 * directory, and the file is streamed from there. Every result that DuckDB can export within its memory
 * limit can be sent.
 */
import { DuckDBTypeId } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { QueryError } from "../QueryApi.ts"
import * as Parameters from "./Parameters.ts"
import type { ResultFiles } from "./ResultFiles.ts"
import * as ResultStream from "./ResultStream.ts"
import * as Sql from "./Sql.ts"
import * as TextSql from "./TextSql.ts"
import * as TypedSql from "./TypedSql.ts"
import type * as Types from "./Types.ts"

/**
 * DuckDB's Parquet has no 128-bit integers (they would become DOUBLE), no offsets in times, no microseconds
 * in intervals and no unions: these would be changed silently. DECIMAL(38, 0) fails on the few HUGEINTs that
 * it cannot hold. Seconds become microseconds in any case, and only a cast accepts infinite ones.
 */
const rename: Types.Rename = (type) => {
  switch (type.typeId) {
    case DuckDBTypeId.HUGEINT:
      return "DECIMAL(38,0)"
    case DuckDBTypeId.TIMESTAMP_S:
      return "TIMESTAMP"
    case DuckDBTypeId.UHUGEINT:
    case DuckDBTypeId.BIGNUM:
    case DuckDBTypeId.TIME_TZ:
    case DuckDBTypeId.INTERVAL:
    case DuckDBTypeId.UNION:
    case DuckDBTypeId.VARIANT:
      return "VARCHAR"
    default:
      return undefined
  }
}

/**
 * Runs a query into a file and streams the file, which is deleted when the stream has ended in any way. An
 * error comes before the first byte.
 */
export const run = (rows: ResultStream.Rows, files: ResultFiles): Stream.Stream<Uint8Array, QueryError> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const file = yield* files.open
      // DuckDB would otherwise write a temporary file beside an existing one, and rename it.
      const options = "FORMAT parquet, USE_TMP_FILE false"
      const sql = `COPY (${TypedSql.named(rows, rename)}) TO ${Sql.literal(file.path)} (${options})`
      const count = yield* file.written(copy(rows, sql))
      if (rows.counter !== undefined) rows.counter.rows = count
      const excess = ResultStream.excessRows(count, rows.limits)
      if (excess !== undefined) return Stream.fail(excess)
      if (rows.read !== undefined) yield* rows.read
      return file.bytes
    })
  )

/** Runs a COPY and returns the number of its rows. */
const copy = (
  { bound, session, source }: ResultStream.Rows,
  sql: string
): Effect.Effect<number, QueryError> =>
  Effect.catch(
    session.call(async (connection) => {
      const result = await Parameters.run(connection, { sql, bound })
      return Number((await result.getRows())[0]?.[0])
    }),
    TextSql.failed(source, sql)
  )
