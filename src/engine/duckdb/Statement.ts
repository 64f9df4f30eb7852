/**
 * From the text of a request to a statement that may run: one statement, of a kind and with functions that are
 * allowed, with its columns and its parameters.
 *
 * DuckDB's own parser says what the text is (`Parser`), before DuckDB binds any of it: binding runs functions.
 */
import {
  type DuckDBExtractedStatements,
  type DuckDBPreparedStatement,
  type DuckDBType,
  StatementType,
  VARCHAR
} from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import { type Parameters as JsonParameters, type QueryError, queryError } from "../QueryApi.ts"
import * as Explain from "./Explain.ts"
import * as Failure from "./Failure.ts"
import type { Guard } from "./Guard.ts"
import * as Judgement from "./Judgement.ts"
import * as Parameters from "./Parameters.ts"
import type { Queries } from "./Parser.ts"
import * as Pragma from "./Pragma.ts"
import * as Sentinel from "./Sentinel.ts"
import type { Session } from "./Session.ts"
import * as Sql from "./Sql.ts"
import type { ResultColumn } from "./TextSql.ts"
import * as Words from "./Words.ts"

/** A statement that was found fit to run. */
export type Statement = Wrappable | Whole

/** A statement that can stand in a `FROM` clause, so that DuckDB formats and streams its rows. */
export interface Wrappable {
  readonly wrappable: true
  /** The statement without semicolons at its end. */
  readonly sql: string
  readonly bound: ReadonlyArray<Parameters.Bound>
  /** Names as results carry them: names that occur twice have been told apart (`a`, `a_1`). */
  readonly columns: ReadonlyArray<ResultColumn>
}

/** The others (`EXPLAIN`, `PRAGMA`, everything that writes), which have small results. */
export interface Whole {
  readonly wrappable: false
  readonly sql: string
  readonly bound: ReadonlyArray<Parameters.Bound>
  /** Absent where they depend on parameters. */
  readonly columns: ReadonlyArray<ResultColumn> | undefined
  /** Whether it is an `EXPLAIN`, whose rows may show paths of the server. */
  readonly explains: boolean
}

/**
 * Prepares a request's query. Everything that fails here is a reject: nothing was run.
 */
export const prepare = Effect.fnUntraced(function* (
  guard: Guard,
  session: Session,
  query: string,
  parameters: JsonParameters
): Effect.fn.Return<Statement, QueryError> {
  // DuckDB would take the text up to there for the whole.
  if (query.includes("\0")) return yield* queryError("syntax_error", "The query holds a NUL character")
  const explain = Explain.split(query)
  if (explain !== undefined) return yield* prepareExplain(guard, session, explain, parameters)
  const { prepared, isQuery } = yield* judge(guard, session, query)
  const bound = yield* Effect.fromResult(Parameters.match(prepared, parameters))
  const columns = known(typesOf(prepared))
  if (!isQuery && columns === undefined && bound.length === 0) {
    return yield* queryError("invalid_query", "A column has a type that cannot be sent; cast it to VARCHAR")
  }
  const wrapped = isQuery ? yield* wrap(guard, session, query, bound) : undefined
  // Other columns would mean that the text says something else in parentheses.
  return wrapped === undefined || (columns !== undefined && columns.length !== wrapped.columns.length)
    ? { wrappable: false, sql: query, bound, columns, explains: false }
    : { wrappable: true, bound, ...wrapped }
})

/** The statement is judged as if it had come alone, and runs behind an `EXPLAIN` of our own. */
const prepareExplain = Effect.fnUntraced(function* (
  guard: Guard,
  session: Session,
  explain: Explain.Explain,
  parameters: JsonParameters
): Effect.fn.Return<Statement, QueryError> {
  if (explain.analyze && !Explain.formats.has(explain.format)) {
    const formats = Array.from(Explain.formats).join(" and ")
    return yield* queryError("not_allowed", `EXPLAIN ANALYZE has the formats ${formats}`)
  }
  if (Explain.hasOptions(explain.statement)) {
    return yield* queryError(
      "not_allowed",
      "EXPLAIN has only the options ANALYZE and FORMAT, such as FORMAT json"
    )
  }
  const { prepared } = yield* Effect.mapError(judge(guard, session, explain.statement), (error) =>
    error.position === undefined
      ? error
      : queryError(error.code, error.message, { position: error.position + explain.offset })
  )
  const bound = yield* Effect.fromResult(Parameters.match(prepared, parameters))
  const sql = Explain.join(explain, explain.statement)
  // Not every statement can be explained.
  yield* Effect.mapError(
    session.call((connection) => connection.prepare(sql)),
    (failure) => Failure.toReject({ ...failure, offset: undefined }, sql)
  )
  return { wrappable: false, sql, bound, columns: Explain.columns, explains: true }
})

/** A statement that may run, and whether its rows are those of a query, which can stand in a `FROM` clause. */
interface Judged {
  readonly prepared: DuckDBPreparedStatement
  readonly isQuery: boolean
}

/** Judges one statement by its text. It is prepared as it came, so that error positions are those of that text. */
const judge = Effect.fnUntraced(function* (
  guard: Guard,
  session: Session,
  sql: string
): Effect.fn.Return<Judged, QueryError> {
  const queries = yield* Effect.mapError(guard.parser.parse(sql), (failure) => Failure.toReject(failure, sql))
  // DuckDB says where the mistake is.
  if (queries === "broken") yield* extractOne(session, sql)
  if (typeof queries === "string") return yield* judgeOther(guard, session, sql)
  if (queries.statements !== 1) return yield* notOne(queries.statements, sql)
  yield* judgeNames(guard, session, queries)
  const prepared = yield* Effect.mapError(
    session.call((connection) => connection.prepare(sql)),
    (failure) => Failure.toReject(failure, sql)
  )
  return prepared.statementType === StatementType.SELECT
    ? { prepared, isQuery: true }
    : yield* notAllowed(prepared.statementType, guard.permissions)
})

const notOne = (count: number, sql: string): QueryError => {
  if (count === 0) return queryError("invalid_query", "The query holds no statement")
  const hint = /\bpivot\b/i.test(sql)
    ? "; a PIVOT counts as several unless its columns are listed with IN"
    : ""
  return queryError("invalid_query", `A query must be exactly one statement, not ${count}${hint}`)
}

const judgeNames = Effect.fnUntraced(function* (
  { builtIn, permissions }: Guard,
  session: Session,
  queries: Queries
): Effect.fn.Return<void, QueryError> {
  const view = Judgement.ofViews(queries)
  if (view !== undefined) return yield* view
  const names = Judgement.unknown(queries, permissions)
  if (names.length === 0) return
  const macros = permissions.allowExternalAccess ? yield* macrosOf(session) : noMacros
  const refused = Judgement.ofFunctions(names, builtIn, permissions, macros)
  if (refused !== undefined) return yield* refused
})

const noMacros: ReadonlySet<string> = new Set()

const macrosOf = (session: Session): Effect.Effect<ReadonlySet<string>, QueryError> =>
  Effect.mapError(
    session.call(async (connection) => {
      const sql = "SELECT DISTINCT lower(function_name) FROM duckdb_functions() WHERE NOT internal"
      const rows = (await connection.runAndReadAll(sql)).getRows()
      return new Set(rows.map(([name]) => String(name)))
    }),
    Failure.toError
  )

/** Judges what the parser gives no tree of. */
const judgeOther = Effect.fnUntraced(function* (
  guard: Guard,
  session: Session,
  sql: string
): Effect.fn.Return<Judged, QueryError> {
  const { builtIn, permissions } = guard
  const isPragma = Pragma.isAllowed(sql)
  const words = Words.of(sql)
  const refused = isPragma ? undefined : Judgement.ofWords(words, builtIn, permissions, Sentinel.database)
  if (refused !== undefined) return yield* refused
  const extracted = yield* extractOne(session, sql)
  const prepared = yield* Effect.mapError(
    session.call(() => extracted.prepare(0)),
    (failure) => Failure.toReject(failure, sql)
  )
  const type = prepared.statementType
  if (type === StatementType.SELECT) {
    return isPragma
      ? { prepared, isQuery: false }
      : yield* queryError(
          "not_allowed",
          "The query is a PRAGMA that is not for clients, or one that cannot be judged"
        )
  }
  if (!isAllowed(type, permissions)) return yield* notAllowed(type, permissions)
  if (type === StatementType.CREATE) yield* refuseSecret(session, sql)
  if (type === StatementType.CALL) {
    // CHECKPOINT is of this kind too, and calls its function without a parenthesis.
    const called = Judgement.ofWords(
      { all: words.all, called: words.all },
      builtIn,
      permissions,
      Sentinel.database
    )
    if (called !== undefined) return yield* called
  }
  return { prepared, isQuery: false }
})

const extractOne = Effect.fnUntraced(function* (
  session: Session,
  sql: string
): Effect.fn.Return<DuckDBExtractedStatements, QueryError> {
  const extracted = yield* Effect.mapError(
    session.call((connection) => connection.extractStatements(sql)),
    (failure) => Failure.toReject(failure, sql)
  )
  return extracted.count === 1 ? extracted : yield* notOne(extracted.count, sql)
})

/** Secrets are of the kind CREATE, but belong to the whole instance. Only the plan tells them apart. */
const refuseSecret = Effect.fnUntraced(function* (
  session: Session,
  sql: string
): Effect.fn.Return<void, QueryError> {
  if (!/secret/i.test(sql)) return
  const plan = yield* Effect.mapError(
    session.call(async (connection) => {
      const result = await connection.runAndReadAll(`SELECT json_serialize_plan(${Sql.literal(sql)})`)
      return String(result.getRows()[0]?.[0])
    }),
    (failure) => Failure.toReject({ ...failure, offset: undefined }, sql)
  )
  if (plan.includes("LOGICAL_CREATE_SECRET")) {
    return yield* queryError("not_allowed", "CREATE SECRET statements are not allowed")
  }
})

const writing: ReadonlySet<StatementType> = new Set([
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
const isAllowed = (type: StatementType, { readWrite, allowExternalAccess }: Judgement.Permissions): boolean =>
  readWrite && (writing.has(type) || (allowExternalAccess && exporting.has(type)))

const notAllowed = (type: StatementType, permissions: Judgement.Permissions): QueryError => {
  const name = (StatementType[type] ?? String(type)).replaceAll("_", " ")
  const why = writing.has(type) && !permissions.readWrite ? ": this server only reads" : ""
  return queryError("not_allowed", `${name} statements are not allowed${why}`)
}

/** What a prepared statement and a result tell of their columns. */
interface Described {
  readonly columnCount: number
  readonly columnName: (index: number) => string
  readonly columnType: (index: number) => DuckDBType
}

/** A column whose type is `undefined` where DuckDB's interface has no name for it. */
interface Column {
  readonly name: string
  readonly type: DuckDBType | undefined
}

/** Types are unknown while they depend on parameters, and the bindings throw for TYPE and the like. */
const typesOf = (described: Described): ReadonlyArray<Column> =>
  Array.from({ length: described.columnCount }, (_, index) => {
    const name = described.columnName(index)
    try {
      return { name, type: described.columnType(index) }
    } catch {
      return { name, type: undefined }
    }
  })

/** The columns, if all of their types are known. */
const known = (columns: ReadonlyArray<Column>): ReadonlyArray<ResultColumn> | undefined =>
  columns.every((column): column is ResultColumn => column.type !== undefined) ? columns : undefined

/** Of a prepared statement or a result whose types are known; it throws otherwise. */
export const columnsOf = (described: Described): ReadonlyArray<ResultColumn> =>
  Array.from({ length: described.columnCount }, (_, index) => ({
    name: described.columnName(index),
    type: described.columnType(index)
  }))

/** The statement as it can stand in a `FROM` clause, or `undefined` where it cannot. */
const wrap = Effect.fnUntraced(function* (
  guard: Guard,
  session: Session,
  query: string,
  bound: ReadonlyArray<Parameters.Bound>
): Effect.fn.Return<Pick<Wrappable, "sql" | "columns"> | undefined, QueryError> {
  const sql = yield* withoutSemicolons(guard, query)
  const prepared = yield* Effect.option(
    session.call((connection) => connection.prepare(`SELECT * FROM (\n${sql}\n) LIMIT 0`))
  )
  if (prepared._tag === "None") return undefined
  const statement = prepared.value
  const types = typesOf(statement)
  const columns = known(types)
  if (columns !== undefined) return { sql, columns }
  if (bound.length === 0) return named(sql, types)
  // Types that depend on parameters are only known once values are bound, and DuckDB tells them only of a
  // result; with LIMIT 0 the optimiser leaves nothing to run.
  const result = yield* Effect.mapError(
    session.call(() => {
      Parameters.bind(statement, bound)
      return statement.stream()
    }),
    (failure) => Failure.toReject({ ...failure, offset: undefined }, sql)
  )
  return named(sql, typesOf(result))
})

/** Values of a type without a name travel as the text that DuckDB prints. */
const named = (sql: string, columns: ReadonlyArray<Column>): Pick<Wrappable, "sql" | "columns"> => {
  const known = columns.map(({ name, type }) => ({ name, type: type ?? VARCHAR }))
  if (columns.every(({ type }) => type !== undefined)) return { sql, columns: known }
  const aliases = columns.map((_, index) => `c${index}`)
  const values = columns.map(({ type }, index) =>
    type === undefined ? `CAST(c${index} AS VARCHAR)` : `c${index}`
  )
  return {
    sql: `SELECT ${values.join(", ")} FROM (\n${sql}\n) AS r(${aliases.join(", ")})`,
    columns: known
  }
}

/** Semicolons at the end of a text that are looked at, the last ones. */
const maxSemicolons = 16

/**
 * The shortest beginning of a statement that says the same as the whole, up to one of its last semicolons.
 * DuckDB's parser compares the two, so nothing but semicolons, blanks and comments is ever left out.
 */
const withoutSemicolons = Effect.fnUntraced(function* (
  { parser }: Guard,
  query: string
): Effect.fn.Return<string, QueryError> {
  let end = query.length
  while (end > 0 && /[\s;]/.test(query.charAt(end - 1))) end--
  const trimmed = query.slice(0, end)
  const cuts = end < query.length && query.includes(";", end) ? [end] : []
  for (let at = trimmed.lastIndexOf(";"); at > 0 && cuts.length < maxSemicolons; ) {
    cuts.unshift(at)
    at = trimmed.lastIndexOf(";", at - 1)
  }
  for (const cut of cuts) {
    const beginning = query.slice(0, cut)
    const same = yield* Effect.mapError(parser.sameTree(beginning, query), Failure.toError)
    if (same) return beginning
  }
  return query
})
