/**
 * The embedded engine: answers the v1 query API from a DuckDB database in this process.
 */

import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as QueryApi from "../QueryApi.ts"
import { QueryEngine } from "../QueryEngine.ts"
import * as Database from "./Database.ts"
import * as Failure from "./Failure.ts"
import * as ResultFormat from "./ResultFormat.ts"
import * as Session from "./Session.ts"
import * as Staging from "./Staging.ts"
import * as Statement from "./Statement.ts"
import * as Types from "./Types.ts"

/** Runs one request in its own session, which closes with the request's scope. */
const run = (
  database: Database.Database,
  staging: Staging.Staging,
  permissions: Statement.Permissions
): ((
  request: QueryApi.ResolvedRequest
) => Effect.Effect<QueryApi.QueryResult, QueryApi.QueryError, Scope.Scope>) =>
  Effect.fnUntraced(function* (request) {
    const session = yield* Effect.mapError(
      Session.open(database.instance, { ...database.session, readOnly: !permissions.readWrite }),
      (failure) => Failure.toReject(failure, request.query)
    )
    const statement = yield* Statement.prepare(session, request.query, request.parameters, permissions)
    return {
      release: ResultFormat.release(request.format),
      columns: statement.columns?.map(({ name, type }) => ({ name, type: Types.name(type) })),
      chunks: statement.wrappable
        ? ResultFormat.encode(request.format, { session, source: statement, bound: statement.bound }, staging)
        : Stream.unwrap(
            Effect.map(Staging.runWhole(staging, session, statement), (rows) =>
              ResultFormat.encode(request.format, rows, staging)
            )
          )
    }
  })

/** As {@link layer}, as an effect. */
export const make = Effect.fnUntraced(function* (
  options: Database.DuckDbOptions
): Effect.fn.Return<QueryEngine["Service"], Failure.DuckDbError, Scope.Scope> {
  const database = yield* Database.open(options)
  const staging = yield* Staging.open(options)
  return QueryApi.makeEngine({
    formats: QueryApi.Format.literals,
    run: run(database, staging, {
      readWrite: options.readWrite === true,
      allowExternalAccess: options.allowExternalAccess === true
    })
  })
})

/**
 * A {@link QueryEngine} on a DuckDB in this process.
 *
 * **Details**
 *
 * Answers the v1 query API in all its formats, with positional and named parameters. By default it only
 * reads, and only what `options` name. A query that cannot be prepared is rejected; one that fails later ends
 * with an error, never as a whole result. Interruption stops DuckDB within milliseconds and waits for it.
 *
 * A database, file or limit that cannot be had fails the layer with a {@link Failure.DuckDbError} that names
 * the setting.
 *
 * **Gotchas**
 *
 * Each running query holds one of libuv's threads. Set the environment variable `UV_THREADPOOL_SIZE` to more
 * than the number of queries that may run at once, before anything uses the pool: where all threads are
 * taken, a query waits for another to end, and so does its cancellation.
 *
 * Large results stream a twentieth faster with `DUCKDB_JE_MALLOC_CONF=dirty_decay_ms:10000` in the environment
 * of Linux before this module is loaded: DuckDB then keeps memory that is free for ten seconds and not for one.
 *
 * A single call of a function on one huge value (`list_sort` of millions) cannot be interrupted. After 10 s
 * the cancellation goes ahead without it, and its connection closes when it ends.
 */
export const layer = (options: Database.DuckDbOptions): Layer.Layer<QueryEngine, Failure.DuckDbError> =>
  Layer.effect(QueryEngine, make(options))
