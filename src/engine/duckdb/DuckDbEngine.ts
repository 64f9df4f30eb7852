/**
 * The embedded engine: answers the v1 query API from a DuckDB database in this process.
 */

import type { DuckDBInstance } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as QueryApi from "../QueryApi.ts"
import { QueryEngine } from "../QueryEngine.ts"
import * as Database from "./Database.ts"
import * as Failure from "./Failure.ts"
import * as NonFinite from "./NonFinite.ts"
import * as ResultStream from "./ResultStream.ts"
import * as Session from "./Session.ts"
import * as Statement from "./Statement.ts"
import * as TextSql from "./TextSql.ts"
import * as TextStream from "./TextStream.ts"

export const formats: ReadonlyArray<QueryApi.Format> = [
  "application/json",
  "application/x-ndjson",
  "text/csv"
]

type Bytes = Stream.Stream<Uint8Array, QueryApi.QueryError>

/** Runs one request in its own session, which closes with the request's scope. */
const run = (
  instance: DuckDBInstance,
  permissions: Statement.Permissions
): ((
  request: QueryApi.ResolvedRequest
) => Effect.Effect<QueryApi.QueryResult, QueryApi.QueryError, Scope.Scope>) =>
  Effect.fnUntraced(function* (request) {
    const session = yield* Effect.mapError(
      Session.open(instance, { readOnly: !permissions.readWrite }),
      (failure) => Failure.toReject(failure, request.query)
    )
    const statement = yield* Statement.prepare(session, request.query, request.parameters, permissions)
    return { columns: statement.columns, chunks: text(session, statement, request.format) }
  })

const text = (session: Session.Session, statement: Statement.Statement, format: QueryApi.Format): Bytes => {
  const rows = (sql: string, suspicious?: NonFinite.Suspicion | undefined) =>
    ResultStream.run(session, sql, statement.bound, TextStream.encoder(suspicious))
  const suspicious = NonFinite.suspicion(statement.columns.map(({ type }) => type))
  switch (format) {
    case "text/csv":
      return Stream.concat(
        Stream.sync(() => Buffer.from(TextSql.csvHeader(statement.columns))),
        rows(TextSql.csv(statement))
      )
    case "application/x-ndjson":
      return rows(TextSql.ndjson(statement), suspicious)
    default:
      return asArray(rows(TextSql.json(statement), suspicious))
  }
}

const openBracket = 0x5b

/** Rows that each begin with a comma, as one array: its bracket takes the first comma's place. */
const asArray = (rows: Bytes): Bytes =>
  Stream.suspend(() => {
    let empty = true
    return Stream.concat(
      Stream.map(rows, (bytes) => {
        if (empty) bytes[0] = openBracket
        empty = false
        return bytes
      }),
      Stream.sync(() => Buffer.from(empty ? "[]" : "]"))
    )
  })

export const make = Effect.fnUntraced(function* (
  options: Database.DuckDbOptions
): Effect.fn.Return<QueryEngine["Service"], Failure.DuckDbError, Scope.Scope> {
  const instance = yield* Database.open(options)
  return QueryApi.makeEngine({
    formats,
    run: run(instance, {
      readWrite: options.readWrite === true,
      allowExternalAccess: options.allowExternalAccess === true
    })
  })
})

/**
 * A {@link QueryEngine} on an embedded DuckDB.
 */
export const layer = (options: Database.DuckDbOptions): Layer.Layer<QueryEngine, Failure.DuckDbError> =>
  Layer.effect(QueryEngine, make(options))
