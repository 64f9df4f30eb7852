/**
 * A second, private DuckDB instance that holds results for a while: those that must be whole before they can
 * be formatted.
 *
 * The served instance is sealed and stays so. This one may write files, but it never sees a client's SQL,
 * only the rows that come out of it.
 */
import type { DuckDBDataChunk, DuckDBInstance } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ResultLimits } from "../Limits.ts"
import type { QueryError } from "../QueryApi.ts"
import * as Columns from "./Columns.ts"
import * as Database from "./Database.ts"
import * as Failure from "./Failure.ts"
import * as Instance from "./Instance.ts"
import * as Parameters from "./Parameters.ts"
import type { Rows } from "./ResultStream.ts"
import * as Sentinel from "./Sentinel.ts"
import * as Session from "./Session.ts"
import * as Spill from "./Spill.ts"
import * as Sql from "./Sql.ts"
import type { Whole } from "./Statement.ts"
import type { ResultColumn, Source } from "./TextSql.ts"
import * as Types from "./Types.ts"

/** See {@link open}. */
export interface Staging {
  readonly instance: Instance.Instance
  /** Where files are made, and where tables go that outgrow the memory. Nobody else can read it. */
  readonly directory: string
}

/** What does not fit goes to the directory. */
const memoryLimit = "256MB"

const furnish = async (instance: DuckDBInstance, maxSpill: number | undefined): Promise<void> => {
  const connection = await instance.connect()
  for (const sql of [...Sentinel.statements, Database.limitSpill(maxSpill)]) await connection.run(sql)
  connection.disconnectSync()
}

const openInstance = Effect.fnUntraced(function* (directory: string, maxSpill: number | undefined) {
  const instance = yield* Database.create(undefined, {
    ...Database.closed,
    temp_directory: directory,
    memory_limit: memoryLimit
  })
  yield* Database.attempt("database", () => furnish(instance, maxSpill))
  return instance
})

/** Opens an empty instance in memory; it closes with the scope. */
export const open = Effect.fnUntraced(function* ({
  maxSpill,
  spillDirectory
}: Pick<Database.DuckDbOptions, "spillDirectory" | "maxSpill">): Effect.fn.Return<
  Staging,
  Failure.DuckDbError,
  Scope.Scope
> {
  const directory = yield* Spill.make(spillDirectory)
  // Tables live only as long as the query that fills them, so that nothing is lost with an instance.
  const instance = yield* Instance.make(openInstance(directory, maxSpill), { whenInvalidated: "reopen" })
  return { instance, directory }
})

/** A table that is being filled. It lasts as long as the scope it was made in. */
export interface Table {
  readonly session: Session.Session
  /** Throws a {@link QueryError} if there is no room. */
  readonly append: (chunk: DuckDBDataChunk) => void
  /** What was appended, for reading in `session`. */
  readonly finish: Effect.Effect<Source, QueryError>
}

/** Values that are appended before they are moved to the table, which blocks the event loop for some ms. */
const flushValues = 128 * 1024

/** The first of the two columns that `TextSql.typed` puts last, in a table of its rows. */
const sentinel = "sentinel"

/** Makes a table for rows of these types; `withSentinel` for rows made by `TextSql.typed`. */
export const table = Effect.fnUntraced(function* (
  staging: Staging,
  columns: ReadonlyArray<ResultColumn>,
  withSentinel: boolean
): Effect.fn.Return<Table, Failure.Failure, Scope.Scope> {
  const session = yield* Session.open(staging.instance, { transaction: "none" })
  const definitions = columns.map(({ type }, index) => `c${index} ${Types.name(type)}`)
  if (withSentinel) definitions.push(`${sentinel} BOOLEAN`, "size BIGINT")
  yield* session.call((connection) => connection.run(`CREATE TEMP TABLE staged(${definitions.join(", ")})`))
  const appender = yield* session.call((connection) => connection.createAppender("staged", undefined, "temp"))
  let unflushed = 0
  const names = columns.map(({ name }, index) => `c${index} AS ${Sql.identifier(name)}`)
  return {
    session,
    append: (chunk) => {
      appended(() => appender.appendDataChunk(chunk))
      unflushed += chunk.rowCount * chunk.columnCount
      if (unflushed < flushValues) return
      appended(() => appender.flushSync())
      unflushed = 0
    },
    finish: Effect.try({
      try: () => appended(() => appender.closeSync()),
      catch: (error) => error as QueryError
    }).pipe(
      Effect.as({
        columns,
        sql: `SELECT ${names.join(", ")} FROM staged${withSentinel ? ` WHERE NOT ${sentinel}` : ""}`
      })
    )
  }
})

const appended = (append: () => void): void => {
  try {
    append()
  } catch (cause) {
    throw Failure.toError(Failure.fromCause(cause))
  }
}

/**
 * Runs a statement that cannot stand in a `FROM` clause to its end, and gives its rows as ones that can.
 * DuckDB keeps such a result in memory until it has been copied.
 */
export const runWhole = (
  staging: Staging,
  session: Session.Session,
  statement: Whole,
  limits: ResultLimits
): Effect.Effect<Rows, QueryError, Scope.Scope> =>
  Effect.gen(function* () {
    const result = yield* Effect.mapError(
      session.call((connection) => Parameters.run(connection, statement)),
      Failure.toError
    )
    const columns = yield* Columns.ofResult(result, limits)
    const staged = yield* Effect.mapError(table(staging, columns, false), Failure.toError)
    for (const chunk of yield* Effect.mapError(
      session.call(() => result.fetchAllChunks()),
      Failure.toError
    )) {
      yield* Effect.try({ try: () => staged.append(chunk), catch: (error) => error as QueryError })
      yield* Effect.yieldNow
    }
    return { session: staged.session, source: yield* staged.finish, bound: [], limits }
  })
