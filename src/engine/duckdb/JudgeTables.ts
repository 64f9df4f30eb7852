/**
 * Judges table names that may be names of files. DuckDB reads a file where it finds no table.
 */
import * as Effect from "effect/Effect"
import type { QueryError } from "../QueryApi.ts"
import * as Failure from "./Failure.ts"
import * as Judgement from "./Judgement.ts"
import type { Parser, Queries } from "./Parser.ts"
import * as Paths from "./Paths.ts"
import type { Session } from "./Session.ts"

/** Judges a query, by its tree. */
export const ofQuery = Effect.fnUntraced(function* (
  parser: Parser,
  session: Session,
  sql: string,
  { schemas, tables }: Queries
): Effect.fn.Return<void, QueryError> {
  if (tables.some(Paths.isPath)) {
    const tree = yield* treeOf(parser, sql)
    yield* judgeFiles(session, tree === undefined ? undefined : Paths.named(tree))
  }
  if (schemas.length > 0 && tables.some(Paths.mayBeEnd)) yield* judgeQualified(parser, session, sql)
})

/** Judges a statement that has no tree. */
export const ofText = (session: Session, sql: string): Effect.Effect<void, QueryError> =>
  judgeFiles(session, Paths.read(sql))

/** Longest tree that is searched on the event loop, in characters. */
const maxTreeLength = 1024 * 1024

/** The tree of a text, or `undefined` if it is too long to be searched. */
export const treeOf = (parser: Parser, sql: string): Effect.Effect<unknown, QueryError> =>
  Effect.mapBoth(parser.tree(sql), {
    onFailure: (failure) => Failure.toReject(failure, sql),
    onSuccess: (tree) => (tree.length > maxTreeLength ? undefined : JSON.parse(tree))
  })

/** Requires that tables with names of files exist. `undefined` stands for an unknown name, or for all. */
const judgeFiles = Effect.fnUntraced(function* (
  session: Session,
  names: ReadonlyArray<string | undefined> | undefined
): Effect.fn.Return<void, QueryError> {
  if (names?.length === 0) return
  const known = yield* tablesOf(session)
  const isThere = (name: string | undefined) => name !== undefined && known.has(Paths.fold(name))
  if (names === undefined || !names.every(isThere)) return yield* Judgement.noFiles
})

/** DuckDB's rows, as texts. */
const rowsOf = (
  session: Session,
  sql: string
): Effect.Effect<ReadonlyArray<ReadonlyArray<string>>, QueryError> =>
  Effect.mapError(
    session.call(async (connection) =>
      (await connection.runAndReadAll(sql)).getRows().map((row) => row.map(String))
    ),
    Failure.toError
  )

const ownTables =
  "SELECT table_name FROM system.main.duckdb_tables() WHERE schema_name = 'main' AND NOT internal " +
  "UNION ALL SELECT view_name FROM system.main.duckdb_views() WHERE schema_name = 'main' AND NOT internal"

/** Tables and views that need no schema. */
const tablesOf = (session: Session): Effect.Effect<ReadonlySet<string>, QueryError> =>
  Effect.map(rowsOf(session, ownTables), (rows) => new Set(rows.map(([name = ""]) => Paths.fold(name))))

/** Requires that tables whose qualified names are those of files exist. */
const judgeQualified = Effect.fnUntraced(function* (
  parser: Parser,
  session: Session,
  sql: string
): Effect.fn.Return<void, QueryError> {
  const tree = yield* treeOf(parser, sql)
  if (tree === undefined) return yield* Judgement.noFiles
  const tables = Paths.qualified(tree)
  if (tables.length === 0) return
  const names = yield* namesOf(session)
  const isThere = ({ qualifiers, table }: Paths.Qualified) =>
    qualifiers.every((qualifier) => names.has(nameOf([qualifier, table])))
  if (!tables.every(isThere)) return yield* Judgement.noFiles
})

const nameOf = (parts: ReadonlyArray<string>): string => parts.join("\0").toLowerCase()

const allTables =
  "SELECT database_name, schema_name, table_name FROM system.main.duckdb_tables() " +
  "UNION ALL SELECT database_name, schema_name, view_name FROM system.main.duckdb_views()"

/** Tables and views, qualified with their schemas and their databases. */
const namesOf = (session: Session): Effect.Effect<ReadonlySet<string>, QueryError> =>
  Effect.map(
    rowsOf(session, allTables),
    (rows) =>
      new Set(
        rows.flatMap(([database = "", schema = "", name = ""]) => [
          nameOf([database, name]),
          nameOf([schema, name])
        ])
      )
  )
