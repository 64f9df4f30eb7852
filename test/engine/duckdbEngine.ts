/** Asks a DuckDB engine as a connection would. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { DuckDbError, DuckDbOptions } from "../../src/engine/duckdb/index.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import type { QueryEngine, QueryFailed, QueryInitError, QueryRejected } from "../../src/engine/QueryEngine.ts"
import * as DuckDbEngines from "../support/DuckDbEngines.ts"

export type Engine = QueryEngine["Service"]

type Details = Omit<Parameters<typeof QueryApi.encodeRequest>[0], "query">

/**
 * Those that nothing changes, by their options: opening one takes longer than most tests. They end with the process that
 * test files share.
 */
const shared = new Map<string, Effect.Effect<Engine, DuckDbError>>()
const scope = Scope.makeUnsafe()

const harmless: ReadonlyArray<string> = ["maxResultRows", "maxRowSize", "sample", "threads"]

const isShared = (options: DuckDbOptions): boolean =>
  Object.keys(options).every((name) => harmless.includes(name))

const sharedEngine = (options: DuckDbOptions): Effect.Effect<Engine, DuckDbError> => {
  const key = JSON.stringify(Object.entries(options).sort())
  const known = shared.get(key)
  if (known !== undefined) return known
  const made = Effect.runSync(Effect.cached(Scope.provide(DuckDbEngines.make(options), scope)))
  shared.set(key, made)
  return made
}

/** Gives a test an engine: one of its own, unless there is nothing that could change. */
export const withEngine = <A, E, R>(
  options: DuckDbOptions,
  use: (engine: Engine) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | DuckDbError, Exclude<R, Scope.Scope>> =>
  Effect.scoped(Effect.flatMap(isShared(options) ? sharedEngine(options) : DuckDbEngines.make(options), use))

/** Fails with what the client is told. */
export const told: <A, R>(
  self: Effect.Effect<A, QueryRejected | QueryFailed | QueryInitError, R>
) => Effect.Effect<A, QueryApi.QueryError, R> = Effect.catchTags({
  QueryRejected: (error: QueryRejected) => Effect.fail(QueryApi.decodeError(error.payload)),
  QueryFailed: (error: QueryFailed) => Effect.fail(QueryApi.decodeError(error.payload)),
  QueryInitError: (error: QueryInitError) => Effect.die(error)
})

/** A whole result. Fails with what the client is told. */
export const ask = (
  engine: Engine,
  query: string,
  details: Details = {}
): Effect.Effect<Buffer, QueryApi.QueryError> =>
  Effect.gen(function* () {
    const accepted = yield* engine.init(QueryApi.encodeRequest({ query, ...details }))
    const chunks = yield* Stream.runCollect(accepted.chunks)
    yield* accepted.commit ?? Effect.void
    return Buffer.concat(chunks)
  }).pipe(Effect.scoped, told)

export const text = (engine: Engine, query: string, details: Details = {}) =>
  Effect.map(ask(engine, query, details), String)

/** A JSON result, parsed. */
export const rows = (engine: Engine, query: string, details: Details = {}) =>
  Effect.map(text(engine, query, details), (json): unknown => JSON.parse(json))

/** The columns that the accept names. */
export const columns = (engine: Engine, query: string, details: Details = {}) =>
  Effect.scoped(
    Effect.map(
      engine.init(QueryApi.encodeRequest({ query, ...details })),
      ({ payload }) => Result.getOrThrow(QueryApi.decodeAccepted(payload)).columns
    )
  )

/** The rejects's or the error's body, and which of the two it was. */
export const failure = (engine: Engine, query: string, details: Details = {}) =>
  Effect.scoped(
    Effect.gen(function* () {
      const accepted = yield* engine.init(QueryApi.encodeRequest({ query, ...details }))
      yield* Stream.runDrain(accepted.chunks)
      return yield* accepted.commit ?? Effect.void
    })
  ).pipe(
    Effect.flip,
    Effect.map((error) => {
      if (error._tag === "QueryInitError") throw error
      const { code, message, position } = QueryApi.decodeError(error.payload)
      return { type: error._tag === "QueryRejected" ? "J" : "E", code, message, position }
    })
  )
