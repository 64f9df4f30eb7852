/**
 * Rows of statements that cannot be used in a `FROM` clause, copied to a table that can.
 *
 * The table is temporary and belongs to a separate connection, which runs nothing of a client's. Rows beyond
 * the memory limit go to the spill directory.
 */
import type { DuckDBAppender, DuckDBDataChunk } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ResultLimits } from "../Limits.ts"
import { QueryError } from "../QueryApi.ts"
import * as Alter from "./Alter.ts"
import * as Columns from "./Columns.ts"
import type { Database } from "./Database.ts"
import * as Failure from "./Failure.ts"
import * as Parameters from "./Parameters.ts"
import type { Rows } from "./ResultStream.ts"
import * as Session from "./Session.ts"
import * as Sql from "./Sql.ts"
import * as Statement from "./Statement.ts"
import type { ResultColumn, Source } from "./TextSql.ts"
import * as Types from "./Types.ts"

/** Values appended before a flush to the table, which blocks the event loop for some ms. */
const flushValues = 128 * 1024

/**
 * Runs a statement that cannot be used in a `FROM` clause to its end, and returns its rows as a source that
 * can. DuckDB keeps such a result in memory until it has been copied.
 */
export const runWhole = (
  database: Database,
  { limits, session }: Statement.Context & { readonly limits: ResultLimits },
  statement: Statement.Whole
): Effect.Effect<Rows, QueryError, Scope.Scope> =>
  Effect.gen(function* () {
    const result = yield* Effect.catch(
      session.call((connection) =>
        statement.isSplit === true
          ? Alter.run(connection, statement.sql)
          : Parameters.run(connection, statement)
      ),
      Statement.failed(statement)
    )
    const columns = yield* Columns.ofResult(result, limits)
    const chunks = yield* session.call(() => result.fetchAllChunks())
    const staging = yield* Session.open(database.instance, {
      memory: database.session.memory,
      transaction: "none"
    })
    const source = yield* stage(staging, columns, chunks)
    return { session: staging, source, bound: [], limits }
  }).pipe(Effect.mapError((error) => (error instanceof QueryError ? error : Failure.toError(error))))

const stage = Effect.fnUntraced(function* (
  session: Session.Session,
  columns: ReadonlyArray<ResultColumn>,
  chunks: ReadonlyArray<DuckDBDataChunk>
): Effect.fn.Return<Source, Failure.Failure> {
  const definitions = columns.map(({ type }, index) => `${Sql.column(index)} ${Types.castName(type)}`)
  yield* session.call((connection) => connection.run(`CREATE TEMP TABLE staged(${definitions.join(", ")})`))
  const appender = yield* session.call((connection) => connection.createAppender("staged", undefined, "temp"))
  let unflushed = 0
  for (const chunk of chunks) {
    yield* appending(appender, () => appender.appendDataChunk(chunk))
    unflushed += chunk.rowCount * chunk.columnCount
    if (unflushed < flushValues) continue
    yield* appending(appender, () => appender.flushSync())
    unflushed = 0
  }
  yield* appending(appender, () => appender.closeSync())
  return { columns, sql: "FROM staged" }
})

/** A separate step of the event loop. */
const appending = (
  appender: DuckDBAppender,
  step: (appender: DuckDBAppender) => void
): Effect.Effect<void, Failure.Failure> =>
  Effect.andThen(Effect.yieldNow, Effect.try({ try: () => step(appender), catch: Failure.fromCause }))
