/**
 * From the text of a request to a statement that may run: one statement, of an allowed kind and with allowed
 * functions, with its columns and its parameters.
 *
 * DuckDB's own parser analyses the text (`Parser`), before DuckDB binds any of it: binding runs functions.
 */
import { VARCHAR } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import type { RequestLimits } from "../Limits.ts"
import { type Parameters as JsonParameters, type QueryError, queryError } from "../QueryApi.ts"
import * as Columns from "./Columns.ts"
import * as Complexity from "./Complexity.ts"
import * as Explain from "./Explain.ts"
import * as Failure from "./Failure.ts"
import type { Guard } from "./Guard.ts"
import * as Judge from "./Judge.ts"
import * as Parameters from "./Parameters.ts"
import * as Place from "./Place.ts"
import * as Sql from "./Sql.ts"
import type { ResultColumn } from "./TextSql.ts"

/** A statement that may run. */
export type Statement = Wrappable | Whole

/** A statement that can be used in a `FROM` clause, so that DuckDB formats and streams its rows. */
export interface Wrappable {
  readonly wrappable: true
  /** The statement without trailing semicolons. */
  readonly sql: string
  readonly locate: Place.Locate
  readonly bound: ReadonlyArray<Parameters.Bound>
  /** Names as in results: repeated names have been made distinct (`a`, `a_1`). */
  readonly columns: ReadonlyArray<ResultColumn>
}

/** Other statements (`EXPLAIN`, `PRAGMA`, all that write), which have small results. */
export interface Whole {
  readonly wrappable: false
  readonly sql: string
  readonly locate: Place.Locate
  readonly bound: ReadonlyArray<Parameters.Bound>
  /** Absent if they depend on parameters. */
  readonly columns: ReadonlyArray<ResultColumn> | undefined
  /** Whether it is an `EXPLAIN`, whose rows may show paths of the server. */
  readonly explains: boolean
  /** See `Judge.Judged`. */
  readonly isSplit?: boolean
}

/** The dependencies of preparing the statements of one request. */
export interface Context extends Judge.Context {
  readonly limits: Columns.Limits & RequestLimits
}

/** Prepares a request's query. Every failure here is a reject: nothing was run. */
export const prepare = Effect.fnUntraced(function* (
  context: Context,
  query: string,
  parameters: JsonParameters
): Effect.fn.Return<Statement, QueryError> {
  const { guard, limits } = context
  // DuckDB would cut the text at the NUL.
  if (query.includes("\0")) return yield* queryError("syntax_error", "The query holds a NUL character")
  const excess = Complexity.excess(query, limits)
  if (excess !== undefined) return yield* queryError("invalid_query", excess)
  const explain = Explain.split(query)
  if (explain !== undefined) return yield* prepareExplain(context, explain, parameters)
  const { prepared, isQuery, isSplit = false } = yield* Judge.judge(context, query)
  // Checked before DuckDB binds the text again, which takes minutes if a hundred thousand
  // columns have one name.
  if (prepared.columnCount > limits.maxColumns) return yield* Columns.tooMany(limits)
  const bound = yield* Parameters.match(prepared, parameters)
  const wrapped = isQuery ? yield* wrap(context, query, bound) : undefined
  // Other columns would mean that the text has another meaning in parentheses.
  return wrapped === undefined ||
    (Columns.areKnown(prepared) && prepared.columnCount !== wrapped.columns.length)
    ? {
        wrappable: false,
        sql: query,
        // The parts are in DuckDB's words.
        locate: isSplit ? () => Effect.undefined : Place.of(guard, query),
        bound,
        columns: yield* Columns.ofPrepared(prepared, limits),
        explains: false,
        isSplit
      }
    : { wrappable: true, bound, ...wrapped }
})

/** Judges the statement as if it had come alone, and runs it behind a new `EXPLAIN`. */
const prepareExplain = Effect.fnUntraced(function* (
  context: Context,
  explain: Explain.Explain,
  parameters: JsonParameters
): Effect.fn.Return<Statement, QueryError> {
  const { guard, session } = context
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
  const { prepared } = yield* Effect.mapError(Judge.judge(context, explain.statement), (error) =>
    error.position === undefined
      ? error
      : queryError(error.code, error.message, { position: error.position + explain.offset })
  )
  const bound = yield* Parameters.match(prepared, parameters)
  const sql = Explain.join(explain, explain.statement)
  // Not every statement can be explained.
  yield* Effect.mapError(
    session.call((connection) => connection.prepare(sql)),
    (failure) => Failure.toReject(failure, undefined)
  )
  const locate = Place.of(guard, explain.statement, explain.offset)
  return { wrappable: false, sql, locate, bound, columns: Explain.columns, explains: true }
})

/**
 * The statement in a form for a `FROM` clause, or `undefined` if it has none. Its columns are
 * those of a result: only results know types that depend on parameters. With LIMIT 0 the optimiser
 * leaves nothing to run.
 */
const wrap = Effect.fnUntraced(function* (
  { guard, limits, session }: Context,
  query: string,
  bound: ReadonlyArray<Parameters.Bound>
): Effect.fn.Return<Pick<Wrappable, "sql" | "columns" | "locate"> | undefined, QueryError> {
  const sql = yield* withoutSemicolons(guard, query)
  const locate = Place.of(guard, sql)
  const empty = `SELECT * FROM (\n${sql}\n) LIMIT 0`
  const prepared = yield* Effect.option(session.call((connection) => connection.prepare(empty)))
  if (prepared._tag === "None") return undefined
  const statement = prepared.value
  const result = yield* Effect.catch(
    session.call(async () => {
      await Parameters.bind(statement, bound)
      return statement.run()
    }),
    (failure) =>
      Effect.flatMap(locate(failure, empty), (position) => Effect.fail(Failure.toReject(failure, position)))
  )
  return { ...named(sql, yield* Columns.ofAnyResult(result, limits)), locate }
})

/** Values of a type without a name are sent as the text that DuckDB prints. */
const named = (sql: string, columns: ReadonlyArray<Columns.Column>): Pick<Wrappable, "sql" | "columns"> => {
  if (columns.every(Columns.isNamed)) return { sql, columns }
  const aliases = columns.map((_, index) => Sql.column(index))
  const values = columns.map(({ type }, index) =>
    type === undefined ? `CAST(${Sql.column(index)} AS VARCHAR)` : Sql.column(index)
  )
  return {
    sql: `SELECT ${values.join(", ")} FROM (\n${sql}\n) AS r(${aliases.join(", ")})`,
    columns: columns.map(({ name, type }) => ({ name, type: type ?? VARCHAR }))
  }
}

/** Fails with the error of a statement that ran as a whole. */
export const failed =
  ({ locate, sql }: Whole) =>
  (failure: Failure.Failure): Effect.Effect<never, QueryError> =>
    Effect.flatMap(locate(failure, sql), (position) => Effect.fail(Failure.toError(failure, position)))

/** Most semicolons at the end of a text that are examined, from the last. */
const maxSemicolons = 16

/**
 * The shortest beginning of a statement with the meaning of the whole, up to one of its last semicolons.
 * DuckDB's parser compares the two, so only semicolons, blanks and comments are ever left out.
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
