/**
 * From the text of a request to a statement that may run: one statement, of a kind that is allowed, with its
 * columns and its parameters.
 */
import { type DuckDBPreparedStatement, StatementType } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import { type Parameters as JsonParameters, type QueryError, queryError } from "../QueryApi.ts"
import * as Columns from "./Columns.ts"
import * as Failure from "./Failure.ts"
import * as Lexer from "./Lexer.ts"
import * as Parameters from "./Parameters.ts"
import * as Sentinel from "./Sentinel.ts"
import type { Session } from "./Session.ts"
import type { ResultColumn } from "./TextSql.ts"

/** What a server lets its clients do beyond reading. */
export interface Permissions {
  readonly readWrite: boolean
  readonly allowExternalAccess: boolean
}

/** A statement that was found fit to run. */
export type Statement = Wrappable | Whole

/** A statement that can stand in a `FROM` clause, so that DuckDB formats and streams its rows. */
export interface Wrappable {
  readonly wrappable: true
  /** The statement without a semicolon or comment at its end. */
  readonly sql: string
  readonly bound: ReadonlyArray<Parameters.Bound>
  /** Names as results carry them: names that occur twice have been told apart (`a`, `a_1`). */
  readonly columns: ReadonlyArray<ResultColumn>
}

/** The others (`EXPLAIN`, most `PRAGMA`s, everything that writes), which have small results. */
export interface Whole {
  readonly wrappable: false
  /** The statement as it came. */
  readonly sql: string
  readonly bound: ReadonlyArray<Parameters.Bound>
  /** Absent where they depend on parameters. */
  readonly columns: ReadonlyArray<ResultColumn> | undefined
}

/**
 * Prepares a request's query. Everything that fails here is a reject: nothing was run.
 */
export const prepare = Effect.fnUntraced(function* (
  session: Session,
  query: string,
  parameters: JsonParameters,
  permissions: Permissions,
  limits: Columns.Limits
): Effect.fn.Return<Statement, QueryError> {
  const prepared = yield* prepareOnly(session, query)
  const sql = Lexer.trimEnd(query)
  yield* allow(session, prepared.statementType, sql, permissions)
  const bound = yield* Parameters.match(prepared, parameters)
  const wrapped =
    prepared.statementType === StatementType.SELECT
      ? yield* columnsOfWrapped(session, sql, bound, limits)
      : undefined
  // Other columns would mean that the text was cut where it should not have been.
  return wrapped === undefined || (Columns.areKnown(prepared) && prepared.columnCount !== wrapped.length)
    ? { wrappable: false, sql: query, bound, columns: yield* Columns.ofPrepared(prepared, limits) }
    : { wrappable: true, sql, bound, columns: wrapped }
})

/** Prepares the text as it came, so that error positions are those of the client's own text. */
const prepareOnly = Effect.fnUntraced(function* (
  session: Session,
  query: string
): Effect.fn.Return<DuckDBPreparedStatement, QueryError> {
  const rejected = (failure: Failure.Failure) => Failure.toReject(failure, query)
  // DuckDB would take the text up to there for the whole.
  if (query.includes("\0")) return yield* queryError("syntax_error", "The query holds a NUL character")
  // The engine's own table: a result's end is told by its one row.
  if (Sentinel.mentioned(query)) {
    return yield* queryError("not_allowed", `${Sentinel.database} is the engine's own and not to be named`)
  }
  const forbidden = Array.from(Lexer.calls(query)).find((name) => serverFunctions.has(name))
  if (forbidden !== undefined) {
    return yield* queryError("not_allowed", `The function ${forbidden} is not for clients`)
  }
  if (Lexer.trimEnd(query) === "") return yield* queryError("invalid_query", "The query holds no statement")
  const extracted = yield* Effect.mapError(
    session.call((connection) => connection.extractStatements(query)),
    rejected
  )
  if (extracted.count !== 1) {
    const hint = /\bpivot\b/i.test(query)
      ? "; a PIVOT counts as several unless its columns are listed with IN"
      : ""
    return yield* queryError(
      "invalid_query",
      `A query must be exactly one statement, not ${extracted.count}${hint}`
    )
  }
  return yield* Effect.mapError(
    session.call(() => extracted.prepare(0)),
    rejected
  )
})

/**
 * Functions that change the whole instance from within a SELECT, which DuckDB does not lock: with its log on,
 * everyone's queries can be read. The last two run SQL that is only known when they are called.
 */
const serverFunctions: ReadonlySet<string> = new Set([
  "enable_logging",
  "disable_logging",
  "truncate_duckdb_logs",
  "enable_profiling",
  "disable_profiling",
  "enable_peg_parser",
  "disable_peg_parser",
  "checkpoint",
  "force_checkpoint",
  "query",
  "json_execute_serialized_sql"
])

const reading: ReadonlySet<StatementType> = new Set([StatementType.SELECT])

const writing: ReadonlySet<StatementType> = new Set([
  StatementType.SELECT,
  StatementType.INSERT,
  StatementType.UPDATE,
  StatementType.DELETE,
  StatementType.MERGE_INTO,
  StatementType.CREATE,
  StatementType.CREATE_FUNC,
  StatementType.DROP,
  StatementType.ALTER,
  StatementType.ANALYZE,
  StatementType.VACUUM,
  StatementType.CALL
])

/** Needs both permissions: each of these reaches for files. */
const exporting: ReadonlySet<StatementType> = new Set([
  StatementType.COPY,
  StatementType.EXPORT,
  StatementType.COPY_DATABASE
])

/**
 * Transactions, settings, prepared statements and attached databases are state of a connection or of the
 * whole server. A connection lives for one query, and the server is not the client's.
 */
const isAllowed = (type: StatementType, { readWrite, allowExternalAccess }: Permissions): boolean =>
  readWrite ? writing.has(type) || (allowExternalAccess && exporting.has(type)) : reading.has(type)

const allow = Effect.fnUntraced(function* (
  session: Session,
  type: StatementType,
  sql: string,
  permissions: Permissions
): Effect.fn.Return<void, QueryError> {
  if (type !== StatementType.EXPLAIN) {
    return isAllowed(type, permissions) ? undefined : yield* notAllowed(type, permissions)
  }
  // EXPLAIN ANALYZE runs what it explains, so that must be allowed too.
  const inner = Lexer.explained(sql)
  if (inner === undefined) return yield* queryError("not_allowed", "This form of EXPLAIN is not allowed")
  const prepared = yield* prepareOnly(session, inner)
  if (!isAllowed(prepared.statementType, permissions)) {
    return yield* notAllowed(prepared.statementType, permissions)
  }
})

const notAllowed = (type: StatementType, permissions: Permissions): QueryError => {
  const name = (StatementType[type] ?? String(type)).replaceAll("_", " ")
  const why = writing.has(type) && !permissions.readWrite ? ": this server only reads" : ""
  return queryError("not_allowed", `${name} statements are not allowed${why}`)
}

/**
 * The columns of the statement in a `FROM` clause, or `undefined` where it cannot stand in one. They are those of
 * a result: types that depend on parameters are only known of one. With LIMIT 0 the optimiser leaves nothing to
 * run.
 */
const columnsOfWrapped = Effect.fnUntraced(function* (
  session: Session,
  sql: string,
  bound: ReadonlyArray<Parameters.Bound>,
  limits: Columns.Limits
): Effect.fn.Return<ReadonlyArray<ResultColumn> | undefined, QueryError> {
  const prepared = yield* Effect.option(
    session.call((connection) => connection.prepare(`SELECT * FROM (\n${sql}\n) LIMIT 0`))
  )
  if (prepared._tag === "None") return undefined
  const statement = prepared.value
  const result = yield* Effect.mapError(
    session.call(async () => {
      await Parameters.bind(statement, bound)
      return statement.stream()
    }),
    (failure) => Failure.toReject({ ...failure, offset: undefined }, sql)
  )
  return yield* Columns.ofResult(result, limits)
})
