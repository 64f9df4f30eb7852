/**
 * The engine of the standalone server: DuckDB, in processes of its own or in this one.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { DuckDbOptions } from "../engine/duckdb/Database.ts"
import type { DuckDbError } from "../engine/duckdb/Failure.ts"
import { type Engine, QueryEngine } from "../engine/QueryEngine.ts"
import * as ProcessEngine from "../process/ProcessEngine.ts"
import * as Rights from "./Rights.ts"
import { type ServeConfig, SettingError } from "./ServeConfig.ts"

/** The database was in memory, clients could change it, and DuckDB gave it up. */
export class DatabaseLost extends Schema.TaggedError<DatabaseLost>()("DatabaseLost", {}) {
  override get message() {
    return "the database in memory failed and is lost; start the server again"
  }
}

const optionsOf = (config: ServeConfig): DuckDbOptions => {
  const { allowExternalAccess, database, maxSpill, memoryLimit, readWrite, tables, threads } = config
  const { maxColumns, maxNesting, maxParameters, maxQueryLength } = config
  const { maxResultBytes, maxResultRows, maxRowSize } = config
  return {
    maxColumns,
    maxNesting,
    maxParameters,
    maxQueryLength,
    maxResultBytes,
    maxResultRows,
    maxRowSize,
    database,
    tables,
    readWrite,
    allowExternalAccess,
    memoryLimit,
    threads,
    maxSpill,
    sample: database === undefined && Object.keys(tables).length === 0
  }
}

/** DuckDB is loaded only here: other commands do without it, and its threads have the rights of this time. */
const embedded = Effect.fnUntraced(function* (
  options: DuckDbOptions,
  lost: Deferred.Deferred<never, DatabaseLost>
): Effect.fn.Return<Engine, DuckDbError, Scope.Scope> {
  const DuckDbEngine = yield* Effect.promise(() => import("../engine/duckdb/DuckDbEngine.ts"))
  return yield* DuckDbEngine.make({
    ...options,
    onLost: () => Deferred.doneUnsafe(lost, Effect.fail(new DatabaseLost()))
  })
})

const isolated = Effect.fnUntraced(function* (config: ServeConfig, directory: string) {
  const engine = ProcessEngine.duckDb(optionsOf(config))
  if (engine.changes === true && config.engines !== undefined && config.engines > 1) {
    return yield* new SettingError({
      written: "engines",
      problem: "expected 1 where clients can change the data: two processes may not have one database"
    })
  }
  const { cancelGrace, engineMemory, engineSilence, engineStartTimeout, engines } = config
  const { maxConcurrentQueries, queueTimeout } = config
  return yield* ProcessEngine.make(engine, {
    cancelGrace,
    engineMemory,
    engineSilence,
    engineStartTimeout,
    engines,
    maxConcurrentQueries,
    maxWaiting: maxConcurrentQueries,
    waitTimeout: queueTimeout,
    directory
  })
})

/** The engine of this configuration. `lost` fails when it has lost what cannot be had again. */
export const layer = (config: ServeConfig, lost: Deferred.Deferred<never, DatabaseLost>) =>
  Layer.effect(
    QueryEngine,
    Effect.gen(function* () {
      // While the process may still write.
      if (config.isolate === "process") yield* ProcessEngine.prepare
      const spillDirectory = yield* Rights.drop(config)
      return yield* config.isolate === "process"
        ? isolated(config, spillDirectory)
        : embedded({ ...optionsOf(config), spillDirectory }, lost)
    })
  )
