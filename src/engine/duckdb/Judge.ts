/**
 * Judges one statement by its text, before DuckDB binds any of it: binding runs functions.
 *
 * `Judgement` decides; this module asks DuckDB's parser and catalog for the facts.
 */
import { type DuckDBExtractedStatements, type DuckDBPreparedStatement, StatementType } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import { type QueryError, queryError } from "../QueryApi.ts"
import * as Alter from "./Alter.ts"
import * as AlterField from "./AlterField.ts"
import * as Calls from "./Calls.ts"
import * as Expansion from "./Expansion.ts"
import * as Failure from "./Failure.ts"
import * as Functions from "./Functions.ts"
import type { Guard } from "./Guard.ts"
import * as Judgement from "./Judgement.ts"
import * as JudgePlan from "./JudgePlan.ts"
import * as JudgeTables from "./JudgeTables.ts"
import type { Macro } from "./Macros.ts"
import * as Mentions from "./Mentions.ts"
import { type Parser, type Queries, treeExcess } from "./Parser.ts"
import * as Place from "./Place.ts"
import * as Pragma from "./Pragma.ts"
import type { Reading } from "./Reading.ts"
import * as Sentinel from "./Sentinel.ts"
import type { Session } from "./Session.ts"
import * as Variant from "./Variant.ts"
import * as Words from "./Words.ts"

/**
 * A statement that may run. `isQuery`: its rows are those of a query, which can be used in a `FROM` clause.
 */
export interface Judged {
  readonly prepared: DuckDBPreparedStatement
  readonly isQuery: boolean
  /** Whether DuckDB runs it as several (`Alter`). */
  readonly isSplit?: boolean
}

/** The dependencies of a judgement. */
export interface Context {
  readonly guard: Guard
  readonly session: Session
  /** Records the files that the statement names, before DuckDB opens them to bind it. */
  readonly reading: Reading
}

/** Judges one statement by its text. It is prepared unchanged, so that error positions refer to that text. */
export const judge = Effect.fnUntraced(function* (
  context: Context,
  sql: string
): Effect.fn.Return<Judged, QueryError> {
  const { guard, reading, session } = context
  const queries = yield* Effect.mapError(guard.parser.parse(sql), (failure) => Failure.toReject(failure, sql))
  // DuckDB's own error has the position.
  if (queries === "broken") yield* extractOne(session, sql, undefined)
  if (typeof queries === "string") return yield* judgeOther(context, sql)
  if (queries.statements !== 1) return yield* notOne(queries.statements, sql)
  const macros = queries.functions.filter((name) => !guard.builtIn.has(name))
  yield* judgeSize(guard, session, sql, queries.excess, macros)
  yield* judgeNames(guard, session, sql, queries)
  yield* reading.begin(reading.served.named([...queries.tables, ...macros]))
  const prepared = yield* Effect.catch(
    session.call((connection) => connection.prepare(sql)),
    rejected(session, sql)
  )
  return prepared.statementType === StatementType.SELECT
    ? { prepared, isQuery: true }
    : yield* notAllowed(prepared.statementType, guard.permissions)
})

/** Fails with the error of a statement that DuckDB could not bind. */
const rejected =
  (session: Session, sql: string) =>
  (failure: Failure.Failure): Effect.Effect<never, QueryError> =>
    Effect.flatMap(Place.ofBinding(session, sql, failure), (position) =>
      Effect.fail(Failure.toReject(failure, position))
    )

const notOne = (count: number, sql: string): QueryError => {
  if (count === 0) return queryError("invalid_query", "The query holds no statement")
  const hint = /\bpivot\b/i.test(sql)
    ? "; a PIVOT counts as several unless its columns are listed with IN"
    : ""
  return queryError("invalid_query", `A query must be exactly one statement, not ${count}${hint}`)
}

/** Whether a macro expands to no more than the parser has assumed. */
const isUsual = (macro: Macro | undefined): boolean =>
  macro === undefined || macro.times <= Functions.timesOfMacros

/**
 * Judges the expanded size of a query. Macros that clients may change are only inspected where the
 * query would be refused: DuckDB takes long to list them, and a client that makes macros can make views
 * that take longer.
 */
const judgeSize = Effect.fnUntraced(function* (
  { macros, parser, permissions }: Guard,
  session: Session,
  sql: string,
  excess: string | undefined,
  names: ReadonlyArray<string>
): Effect.fn.Return<void, QueryError> {
  if (names.length === 0 || (excess === undefined && permissions.readWrite)) {
    return excess === undefined ? undefined : yield* queryError("invalid_query", excess)
  }
  const found = yield* Effect.mapError(
    Effect.gen(function* () {
      const counted = yield* macros(session, names)
      if (excess === undefined && names.every((name) => isUsual(counted.get(name)))) return undefined
      const tree = yield* parser.shortTree(sql)
      return tree === undefined ? treeExcess : Expansion.excess(tree, counted)
    }),
    (failure) => Failure.toReject(failure, undefined)
  )
  if (found !== undefined) return yield* queryError("invalid_query", found)
})

const judgeNames = Effect.fnUntraced(function* (
  { builtIn, parser, permissions, variants }: Guard,
  session: Session,
  sql: string,
  queries: Queries
): Effect.fn.Return<void, QueryError> {
  if (queries.types.includes(Variant.typeName)) return yield* Judgement.noVariant
  if (queries.functions.some((name) => Variant.structured.has(name))) yield* judgeStructures(parser, sql)
  if (queries.functions.some((name) => Functions.aggregating.has(name))) yield* judgeAggregates(parser, sql)
  const variant = Judgement.ofVariants(queries, variants, builtIn, permissions)
  if (variant !== undefined) return yield* variant
  const view = Judgement.ofViews(queries)
  if (view !== undefined) return yield* view
  if (!permissions.allowExternalAccess) yield* JudgeTables.ofQuery(parser, session, sql, queries)
  const names = Judgement.unknown(queries, permissions)
  if (names.length === 0) return
  const macros = permissions.allowExternalAccess ? yield* macrosOf(session) : noMacros
  const refused = Judgement.ofFunctions(names, builtIn, permissions, macros)
  if (refused !== undefined) return yield* refused
})

const judgeAggregates = Effect.fnUntraced(function* (
  parser: Parser,
  sql: string
): Effect.fn.Return<void, QueryError> {
  const tree = yield* JudgeTables.treeOf(parser, sql)
  const names = tree === undefined ? [undefined] : Calls.secondArguments(tree, Functions.aggregating)
  const refused = Judgement.ofAggregates(names)
  if (refused !== undefined) return yield* refused
})

const judgeStructures = Effect.fnUntraced(function* (
  parser: Parser,
  sql: string
): Effect.fn.Return<void, QueryError> {
  const tree = yield* JudgeTables.treeOf(parser, sql)
  const structures = tree === undefined ? [undefined] : Calls.secondArguments(tree, Variant.structured)
  for (const structure of structures) {
    if (structure === undefined) {
      return yield* queryError(
        "not_allowed",
        "The structure that from_json or json_transform is given must be a literal, in a query that is not very long"
      )
    }
    if (Variant.isNamedIn(structure)) return yield* Judgement.noVariant
  }
})

const noMacros: ReadonlySet<string> = new Set()

const macrosOf = (session: Session): Effect.Effect<ReadonlySet<string>, QueryError> =>
  Effect.mapError(
    session.call(async (connection) => {
      const sql =
        "SELECT DISTINCT lower(function_name) FROM system.main.duckdb_functions() WHERE NOT internal"
      const rows = (await connection.runAndReadAll(sql)).getRows()
      return new Set(rows.map(([name]) => String(name)))
    }),
    Failure.toError
  )

/** The words of a text, without those that only look like calls or like hidden views. */
const wordsOf = Effect.fnUntraced(function* (
  { builtIn, parser, permissions }: Guard,
  sql: string
): Effect.fn.Return<Words.Words, QueryError> {
  const words = Words.of(sql)
  const calls = Judgement.suspect(words.called, builtIn, permissions)
  const views = [...words.all].filter((name) => Functions.hiddenViews.has(name))
  if (calls.length === 0 && views.length === 0) return words
  const [called, named] = yield* Effect.mapError(
    Effect.all([Mentions.called(parser.accepts, sql, calls), Mentions.named(parser.accepts, sql, views)]),
    (failure) => Failure.toReject(failure, sql)
  )
  return {
    all: new Set([...words.all].filter((name) => named.includes(name) || !views.includes(name))),
    called: new Set([...words.called].filter((name) => called.includes(name) || !calls.includes(name)))
  }
})

const inPieces = queryError(
  "not_allowed",
  "A literal that goes on in another line cannot be judged; write it in one"
)

/** Judges a statement for which the parser returns no tree. */
const judgeOther = Effect.fnUntraced(function* (
  { guard, reading, session }: Context,
  sql: string
): Effect.fn.Return<Judged, QueryError> {
  const { builtIn, permissions } = guard
  const isPragma = Pragma.isAllowed(sql)
  if (Words.isInPieces(sql, [...Functions.hiddenViews, ...guard.views])) return yield* inPieces
  const words = yield* wordsOf(guard, sql)
  const refused = isPragma ? undefined : Judgement.ofWords(words, builtIn, permissions, Sentinel.database)
  if (refused !== undefined) return yield* refused
  if ([...words.called].some((name) => Functions.aggregating.has(name))) {
    const aggregate = Judgement.ofAggregates(Calls.aggregates(sql))
    if (aggregate !== undefined) return yield* aggregate
  }
  if (Variant.mayBeCast(sql)) return yield* Judgement.noVariant
  const called = { functions: [...words.called], tableFunctions: [], tables: [] }
  const variant = Judgement.ofVariants(called, guard.variants, builtIn, permissions)
  if (variant !== undefined) return yield* variant
  if (!isPragma && !permissions.allowExternalAccess) yield* JudgeTables.ofText(session, sql)
  const keyword = Words.keyword(sql)
  const imported = Judgement.ofImport(keyword, permissions)
  if (imported !== undefined) return yield* imported
  const extracted = yield* extractOne(session, sql, keyword)
  // Checked before DuckDB binds the statement.
  const kind = isPragma || keyword === "pragma" ? undefined : Judgement.ofKeyword(keyword, permissions, sql)
  if (kind !== undefined) return yield* kind
  if (Words.isTemporary(sql)) return yield* Judgement.noTemporary
  if (guard.unstable.size > 0 && keyword === "alter" && Alter.isRepeated(sql, extracted.count)) {
    const repeated = Alter.ofRepeated(words, guard.unstable, yield* macrosOf(session))
    if (repeated !== undefined) return yield* repeated
  }
  yield* reading.begin(reading.served.mentioned(sql))
  if (defining.some((word) => words.all.has(word))) reading.served.extend(sql)
  const isSplit = extracted.count > 1
  const prepared = yield* Effect.catch(
    session.call(() => session.preparing(extracted.prepare(isSplit ? 1 : 0))),
    rejected(session, sql)
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
  if (type === StatementType.ALTER) yield* AlterField.check(session, sql)
  if (JudgePlan.kinds.has(type)) yield* JudgePlan.judge(guard, session, sql, words)
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
  return { prepared, isQuery: false, isSplit }
})

/** Words of statements that create or rename views and macros. */
const defining: ReadonlyArray<string> = ["view", "macro", "function"]

const extractOne = Effect.fnUntraced(function* (
  session: Session,
  sql: string,
  keyword: string | undefined
): Effect.fn.Return<DuckDBExtractedStatements, QueryError> {
  const extracted = yield* Effect.mapError(
    session.call((connection) => connection.extractStatements(sql)),
    (failure) => Failure.toReject(failure, sql)
  )
  return extracted.count === 1 || Alter.isSplit(keyword, sql, extracted.count)
    ? extracted
    : yield* notOne(extracted.count, sql)
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

/** Statements that access files, so they need both permissions. */
const exporting: ReadonlySet<StatementType> = new Set([
  StatementType.COPY,
  StatementType.EXPORT,
  StatementType.COPY_DATABASE
])

/**
 * Transactions, settings, prepared statements, temporary objects and attached databases are state of a
 * connection or of the whole server. A connection lives for one query, and the server is shared.
 */
const isAllowed = (type: StatementType, { readWrite, allowExternalAccess }: Judgement.Permissions): boolean =>
  readWrite && (writing.has(type) || (allowExternalAccess && exporting.has(type)))

const notAllowed = (type: StatementType, permissions: Judgement.Permissions): QueryError => {
  const name = (StatementType[type] ?? String(type)).replaceAll("_", " ")
  const why = writing.has(type) ? Judgement.onlyReads(permissions) : ""
  return queryError("not_allowed", `${name} statements are not allowed${why}`)
}
