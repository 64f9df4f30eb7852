/**
 * The engine of the standalone server: DuckDB, in processes of its own or in this one. It is opened again with other
 * settings.
 */
import * as Effect from "effect/Effect"
import * as Record from "effect/Record"
import type * as Scope from "effect/Scope"
import type { DuckDbOptions } from "../engine/duckdb/Database.ts"
import type { DuckDbError } from "../engine/duckdb/Failure.ts"
import * as Generations from "../engine/Generations.ts"
import * as Limits from "../engine/Limits.ts"
import type { Engine } from "../engine/QueryEngine.ts"
import * as ProcessEngine from "../process/ProcessEngine.ts"
import * as QueryLimit from "../server/QueryLimit.ts"
import { SettingError } from "./ConfigSources.ts"
import type { ServeConfig } from "./ServeConfig.ts"

/** What an engine is opened with besides the settings. */
export interface Options {
  readonly config: ServeConfig
  /** The private directory of the process. */
  readonly spillDirectory: string
  readonly onLost: () => void
}

type Failure = DuckDbError | ProcessEngine.ProcessEngineError | SettingError

export type ServedEngine = Generations.Generations<ServeConfig, Failure>

const optionsOf = (config: ServeConfig): DuckDbOptions => {
  const { allowExternalAccess, database, maxSpill, memoryLimit, readWrite, tables, threads } = config
  return {
    ...Record.map(Limits.defaults, (_, name) => config[name]),
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
  options: DuckDbOptions
): Effect.fn.Return<Engine, DuckDbError, Scope.Scope> {
  const DuckDbEngine = yield* Effect.promise(() => import("../engine/duckdb/DuckDbEngine.ts"))
  return yield* DuckDbEngine.make(options)
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
  // A query whose client does not read gives its place to another one, and stays in its process.
  const maxQueries = QueryLimit.mostUnderWay(config)
  return yield* ProcessEngine.make(engine, {
    cancelGrace,
    engineMemory,
    engineSilence,
    engineStartTimeout,
    engines,
    maxQueries,
    maxWaiting: maxConcurrentQueries,
    waitTimeout: queueTimeout,
    directory
  })
})

/** Opens the engine; it closes with the scope. */
export const make = ({
  config,
  onLost,
  spillDirectory
}: Options): Effect.Effect<ServedEngine, Failure, Scope.Scope> =>
  Generations.make<ServeConfig, Failure>(
    (config) =>
      config.isolate === "process"
        ? isolated(config, spillDirectory)
        : embedded({ ...optionsOf(config), spillDirectory, onLost }),
    config
  )
