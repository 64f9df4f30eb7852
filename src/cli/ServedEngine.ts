/**
 * The engine of the standalone server: DuckDB in separate processes, in a separate thread, or in this one. It
 * can be opened again with other settings.
 */
import { existsSync } from "node:fs"
import { parse } from "node:path"
import * as Effect from "effect/Effect"
import * as Record from "effect/Record"
import type * as Scope from "effect/Scope"
import * as AbsolutePaths from "../engine/duckdb/AbsolutePaths.ts"
import type { DuckDbOptions } from "../engine/duckdb/Database.ts"
import type { DuckDbError } from "../engine/duckdb/Failure.ts"
import * as Generations from "../engine/Generations.ts"
import * as Limits from "../engine/Limits.ts"
import type { Engine } from "../engine/QueryEngine.ts"
import * as ProcessEngine from "../process/ProcessEngine.ts"
import * as ThreadEngine from "../threads/ThreadEngine.ts"
import * as ThreadPool from "../threads/ThreadPool.ts"
import { SettingError } from "./ConfigSources.ts"
import type { Fitted } from "./Descriptors.ts"

/** The inputs of an engine besides the settings. */
export interface Options {
  readonly config: Fitted
  /** The private directory of the process. */
  readonly spillDirectory: string
  readonly onLost: () => void
}

type Failure = DuckDbError | ProcessEngine.ProcessEngineError | ThreadEngine.ThreadEngineError | SettingError

export type ServedEngine = Generations.Generations<Fitted, Failure>

const optionsOf = (config: Fitted): DuckDbOptions => {
  const { allowExternalAccess, database, maxSpill, memoryLimit, readWrite, tables, threads } = config
  return AbsolutePaths.of({
    ...Record.map(Limits.defaults, (_, name) => config[name]),
    database,
    tables,
    readWrite,
    allowExternalAccess,
    memoryLimit,
    threads,
    maxSpill,
    sample: database === undefined && Object.keys(tables).length === 0
  })
}

/** Leaves a working directory that has been deleted: DuckDB opens nothing in one. */
const leaveDeleted = Effect.sync(() => {
  try {
    if (existsSync(process.cwd())) return
  } catch {
    // It was deleted before the start.
  }
  process.chdir(parse(process.execPath).root)
})

/**
 * DuckDB is loaded only here: other commands do not need it, and its threads inherit the
 * rights of this moment.
 */
const embedded = Effect.fnUntraced(function* (
  options: DuckDbOptions
): Effect.fn.Return<Engine, DuckDbError, Scope.Scope> {
  const DuckDbEngine = yield* Effect.promise(() => import("../engine/duckdb/DuckDbEngine.ts"))
  return yield* DuckDbEngine.make(options)
})

/**
 * Limits of queries that wait for the engine. A query whose client does not read stays in the engine, but
 * gives its slot to another one.
 */
const waits = (config: Fitted) => ({
  maxQueries: config.engineQueries,
  maxWaiting: config.maxConcurrentQueries,
  waitTimeout: config.queueTimeout
})

const isolated = Effect.fnUntraced(function* (config: Fitted, options: DuckDbOptions, directory: string) {
  const engine = ProcessEngine.duckDb(options)
  if (engine.changes === true && config.engines !== undefined && config.engines > 1) {
    return yield* new SettingError({
      written: "engines",
      problem: "expected 1 where clients can change the data: two processes may not have one database"
    })
  }
  const { cancelGrace, engineMemory, engineSilence, engineStartTimeout, engines } = config
  return yield* ProcessEngine.make(engine, {
    ...waits(config),
    cancelGrace,
    engineMemory,
    engineSilence,
    engineStartTimeout,
    engines,
    directory
  })
})

/** DuckDB uses all processors from one thread. */
const inThread = (config: Fitted, options: DuckDbOptions) =>
  ThreadEngine.make(ThreadEngine.duckDb(options), {
    ...waits(config),
    threads: 1
  }).pipe(Effect.provideService(ThreadPool.ThreadPool, ThreadPool.make({ threads: 1 })))

/** Opens the engine at its configured place. */
const open = (
  config: Fitted,
  skipUnreadable: ReadonlyArray<string>,
  { onLost, spillDirectory }: Omit<Options, "config">
): Effect.Effect<Engine, Failure, Scope.Scope> => {
  const options = { ...optionsOf(config), skipUnreadable }
  switch (config.isolate) {
    case "process":
      return isolated(config, options, spillDirectory)
    case "thread":
      return Effect.andThen(leaveDeleted, inThread(config, { ...options, spillDirectory }))
    case "none":
      return Effect.andThen(leaveDeleted, embedded({ ...options, spillDirectory, onLost }))
  }
}

/**
 * Opens the engine; it closes with the scope. When it is opened again, a table that it had before is left out
 * if its file has become unreadable. Otherwise that table would block new settings for all others.
 */
export const make = ({ config, ...options }: Options): Effect.Effect<ServedEngine, Failure, Scope.Scope> => {
  let served: Fitted["tables"] = {}
  return Generations.make<Fitted, Failure>((config) => {
    const skipped = Object.keys(config.tables).filter((name) => config.tables[name] === served[name])
    const opened = open(config, skipped, options)
    return Effect.tap(opened, () =>
      Effect.sync(() => {
        served = config.tables
      })
    )
  }, config)
}
