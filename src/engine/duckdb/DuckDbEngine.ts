/**
 * The embedded engine: answers the v1 query API from a DuckDB database in this process.
 */

import { homedir } from "node:os"
import { resolve } from "node:path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Limits from "../Limits.ts"
import * as QueryApi from "../QueryApi.ts"
import { type Engine, QueryEngine } from "../QueryEngine.ts"
import * as ArrowStream from "./ArrowStream.ts"
import * as Change from "./Change.ts"
import { Crowd } from "./Crowd.ts"
import * as Database from "./Database.ts"
import * as Failure from "./Failure.ts"
import * as Guard from "./Guard.ts"
import * as IllFiles from "./IllFiles.ts"
import * as OptionChecks from "./OptionChecks.ts"
import * as Parser from "./Parser.ts"
import * as Plan from "./Plan.ts"
import * as Reading from "./Reading.ts"
import * as ResultFormat from "./ResultFormat.ts"
import type * as ResultStream from "./ResultStream.ts"
import * as Session from "./Session.ts"
import * as Staging from "./Staging.ts"
import * as Statement from "./Statement.ts"
import * as TableFile from "./TableFile.ts"
import type { ResultColumn } from "./TextSql.ts"
import * as Threads from "./Threads.ts"
import * as Turns from "./Turns.ts"
import * as Types from "./Types.ts"

/** The dependencies of a request's answer. */
interface Parts {
  readonly crowd: Crowd
  readonly database: Database.Database
  readonly turns: Turns.Turns
  readonly guard: Guard.Guard
  readonly limits: Limits.Limits
  readonly served: Reading.Served
}

/** Runs one request in its own session, which closes with the request's scope. */
const answer = Effect.fnUntraced(function* (
  { database, guard: given, limits, served, turns }: Parts,
  request: QueryApi.ResolvedRequest
): Effect.fn.Return<QueryApi.QueryResult, QueryApi.QueryError, Scope.Scope> {
  const guard = request.readOnly
    ? {
        ...given,
        permissions: { ...given.permissions, readWrite: false, isReadOnlyAsked: given.permissions.readWrite }
      }
    : given
  const { readWrite } = guard.permissions
  if (database.session.memory.isFull) return yield* overloaded(limits)
  const change = readWrite ? Change.of(request.query) : Change.reads
  const isLogged = readWrite && database.isLogged
  if (given.permissions.readWrite) yield* turns.take(change.turn)
  const session = yield* Effect.mapError(
    Session.open(database.instance, {
      ...database.session,
      progress: request.progress,
      transaction: readWrite ? "read write" : "read only"
    }),
    (failure) => Failure.toReject(failure, request.query)
  )
  if (isLogged && change.needsSchema) yield* checkpointed(session)
  const reading = yield* Reading.open(served)
  const context = { guard, limits, reading, session }
  const statement = yield* Statement.prepare(context, request.query, request.parameters)
  const counter: ResultStream.Counter = { rows: 0 }
  const encode = (rows: ResultStream.Rows) =>
    ResultFormat.encode({ ...rows, counter }, request, database.files)
  const whole = (statement: Statement.Whole) =>
    statement.explains ? Plan.run(context, statement) : Staging.runWhole(database, context, statement)
  const chunks = statement.wrappable
    ? encode({ session, source: statement, bound: statement.bound, limits, read: reading.check })
    : Stream.unwrap(
        Effect.map(
          Effect.tap(whole(statement), () => reading.check),
          encode
        )
      )
  return {
    columns: statement.columns?.map(described),
    rows: () => counter.rows,
    progress: () => session.progress(),
    readOnly: !guard.permissions.readWrite,
    chunks: Stream.catch(chunks, (error) => Stream.fromEffectDrain(reading.blamed(error))),
    // Reading queries commit too: they may have taken values of a sequence.
    commit: readWrite
      ? Effect.andThen(
          Effect.mapError(session.commit, (failure) => Failure.ofCommit(failure, statement.wrappable)),
          isLogged && change.defines ? session.checkpoint : Effect.void
        )
      : undefined
  }
})

/** Empties the log, without which a type in a new schema cannot be replayed (`Change`). */
const checkpointed = (session: Session.Session): Effect.Effect<unknown, QueryApi.QueryError> =>
  Effect.mapError(
    session.call((connection) => connection.run("CHECKPOINT")),
    (failure) =>
      failure.type === "TransactionContext" ? Turns.notAlone : Failure.toReject(failure, undefined)
  )

const overloaded = ({ maxResultMemory }: Limits.Limits) =>
  new QueryApi.QueryError({
    code: "overloaded",
    message: `The results of other queries wait for their readers and hold ${maxResultMemory} bytes (maxResultMemory)`,
    retryable: true
  })

const described = ({ name, type }: ResultColumn): QueryApi.Column => ({
  name,
  type: Types.name(type),
  ...(Types.some(type, Types.isWideNumber) ? { wideNumbers: true } : {})
})

/** Answers every request. Defects become errors of their query, and no error shows a path of the server. */
const run = (parts: Parts) =>
  Effect.fnUntraced(function* (
    request: QueryApi.ResolvedRequest
  ): Effect.fn.Return<QueryApi.QueryResult, QueryApi.QueryError, Scope.Scope> {
    const { diskFull, giveBack, unread } = parts.database
    const hasAllMemory = yield* parts.crowd.enter
    const conceal = (error: QueryApi.QueryError) =>
      Failure.unread(unread, error) ?? Failure.conceal(parts.guard.hidden, request.query, error)
    const told = (error: QueryApi.QueryError): Effect.Effect<never, QueryApi.QueryError> => {
      if (error.code !== "out_of_memory") {
        return Effect.andThen(Failure.isDiskFull(error) ? diskFull : Effect.void, Effect.fail(conceal(error)))
      }
      const retryable = error.retryable && !hasAllMemory()
      return Effect.andThen(giveBack.now, Effect.fail(conceal(Failure.retryable(error, retryable))))
    }
    const result = yield* answer(parts, request).pipe(
      Effect.catchDefect((defect) => Effect.fail(Failure.ofDefect(defect))),
      Effect.catch(told)
    )
    return {
      ...result,
      chunks: result.chunks.pipe(
        Stream.catchDefect((defect) => Stream.fail(Failure.ofDefect(defect))),
        Stream.catch((error) => Stream.fromEffectDrain(told(error)))
      ),
      commit: result.commit && Effect.mapError(result.commit, conceal)
    }
  })

/**
 * Like {@link layer}, as an effect.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  options: Database.DuckDbOptions
): Effect.fn.Return<Engine, Failure.DuckDbError, Scope.Scope> {
  const limits = yield* limitsOf(options)
  const [database, parser] = yield* Effect.all(
    // Loading Arrow takes some 60 ms of the event loop, which the first request would otherwise take
    // from all others.
    [Database.open(options), Parser.open(limits), Effect.promise(ArrowStream.load)],
    { concurrency: "unbounded" }
  )
  const permissions = {
    readWrite: options.readWrite === true,
    allowExternalAccess: options.allowExternalAccess === true
  }
  const guard = yield* Guard.open(database, parser, permissions, [
    ...Object.entries(options.tables ?? {}).map(
      ([name, file]) => [resolve(TableFile.pathOf(file)), name] as const
    ),
    ...[...database.tables.values()].flatMap(({ files, name }) =>
      files.flatMap((file) => [[file, name] as const, [TableFile.pattern(file), name] as const])
    ),
    [database.directory, Failure.directory],
    [homedir(), "~"]
  ])
  const engine = QueryApi.makeEngine({
    formats: QueryApi.Format.literals,
    limits,
    admit: options.admit,
    run: run({
      crowd: new Crowd(),
      turns: new Turns.Turns(),
      database,
      guard,
      limits,
      served: new Reading.Served(database.tables, guard.definitions, yield* IllFiles.Known)
    })
  })
  return { ...engine, expect: Threads.check }
})

const limitsOf = (options: Database.DuckDbOptions): Effect.Effect<Limits.Limits, Failure.DuckDbError> =>
  Effect.try({
    try: () => Limits.make(Limits.among(OptionChecks.check(options))),
    catch: (cause) => {
      const message = cause instanceof Error ? cause.message : String(cause)
      return new Failure.DuckDbError({ setting: message.split(" ")[0] ?? "", message, cause })
    }
  })

/**
 * A {@link QueryEngine} on a DuckDB in this process.
 *
 * **Details**
 *
 * Answers the v1 query API in all its formats, with positional and named parameters. By default it only
 * reads, and only the data that `options` name. A query that cannot be prepared is rejected. A query that
 * fails later ends with an error, never as a complete result. Interruption stops DuckDB within milliseconds
 * and waits for it.
 *
 * No request holds the event loop for long, and no result outgrows the memory: see `Limits`. A request beyond
 * a limit is rejected; a result beyond one ends with an error that names it.
 *
 * An invalid or unknown setting, and a database, file or limit that is not available, fail the layer with a
 * {@link Failure.DuckDbError} that names the setting.
 *
 * **Gotchas**
 *
 * Each running query holds one of libuv's threads, of which there are four by default. Set the environment
 * variable `UV_THREADPOOL_SIZE` of the process to more than the number of concurrent queries
 * (`maxConcurrentQueries`): if all threads are taken, a query waits for another to end, and so does its
 * cancellation. A server that starts with too few of them logs a warning.
 *
 * On Linux, large results stream a twentieth faster with `DUCKDB_JE_MALLOC_CONF=dirty_decay_ms:10000` in the
 * environment before this module is loaded: DuckDB then keeps free memory for ten seconds instead of one.
 *
 * A single call of a function on one huge value (`list_sort` of millions) cannot be interrupted. After 10 s
 * the cancellation goes ahead without it, and its connection closes when the call ends.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Database.DuckDbOptions): Layer.Layer<QueryEngine, Failure.DuckDbError> =>
  Layer.effect(QueryEngine, make(options))
