/**
 * An engine in processes of its own, which can be killed: no query takes the server down.
 *
 * The parent passes each query on to a process, and its chunks back without a copy. A query that does not
 * stop when it must is killed with its process. An ended process is replaced.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as AbsolutePaths from "../engine/duckdb/AbsolutePaths.ts"
import type { DuckDbOptions } from "../engine/duckdb/Database.ts"
import { type Engine, QueryEngine } from "../engine/QueryEngine.ts"
import * as Limit from "../settings/Limit.ts"
import * as ChildProcess from "./ChildProcess.ts"
import type { Options as DuckDbProcessOptions } from "./DuckDb.ts"
import * as DuckDbModule from "./DuckDbModule.ts"
import * as MemoryLimit from "./MemoryLimit.ts"
import * as OomScore from "./OomScore.ts"
import * as Supervision from "./Supervision.ts"

export type { Place } from "./ChildProcess.ts"
export type { Host } from "./EngineHost.ts"

/**
 * An engine that processes load.
 *
 * @category models
 * @since 0.1.0
 */
export interface EngineModule extends Supervision.EngineModule {
  /**
   * The first argument of `make`: any value that structured cloning can copy. Called once for each process.
   */
  readonly options?: ((place: ChildProcess.Place) => unknown) | undefined
  /**
   * Whether a process may be replaced once it has used up `engineMemory` with memory that it had freed. Not
   * for processes that hold unique data, such as a database in memory that clients change. Default `true`.
   */
  readonly replaceable?: boolean | undefined
}

/**
 * Settings of the processes.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options extends Supervision.Options {
  /** The number of processes. Default 2, or 1 if queries change something: more are refused then. */
  readonly engines?: number | undefined
  /**
   * How much memory a process may take for its queries, in bytes, besides its memory when it became ready.
   * Default: 80 % of the memory of the machine or container, divided among the processes. Linux enforces it
   * if `prlimit` is installed; otherwise a warning is logged.
   */
  readonly engineMemory?: number | undefined
  /**
   * The parent directory of each process's own directory, which is removed when the process has
   * ended. Default: none.
   */
  readonly directory?: string | undefined
  /**
   * The program that runs a process, with its first arguments. It must run Node in the end, and pass its
   * descriptors on, as `systemd-run --scope` does. Default: this process's own Node with its arguments.
   */
  readonly command?: readonly [program: string, ...args: ReadonlyArray<string>] | undefined
}

/**
 * No process could be started. The message has the reason.
 *
 * @category errors
 * @since 0.1.0
 */
export class ProcessEngineError extends Schema.TaggedError<ProcessEngineError>()("ProcessEngineError", {
  message: Schema.String
}) {}

/**
 * Prepares this process to start others. Must be called before this process gives up its rights to
 * write files, if it does: otherwise the kernel does not prefer to end children when the machine
 * runs out of memory.
 *
 * @category constructors
 * @since 0.1.0
 */
export const prepare: Effect.Effect<void> = Effect.sync(() => void OomScore.prepare())

const moduleChecks: Limit.Checks<EngineModule> = {
  ...Supervision.moduleChecks,
  options: Limit.callback,
  replaceable: Limit.flag
}

const checks: Limit.Checks<Options> = {
  ...Supervision.checks,
  engines: Limit.any,
  engineMemory: Limit.countOrInfinity,
  directory: Limit.text,
  command: (name, given: readonly [string, ...ReadonlyArray<string>]) => {
    Limit.each((name, argument: string) => Limit.text(name, argument, "a list of texts", () => true))(
      name,
      given
    )
    Limit.text(name, given[0], "a program with its arguments")
  }
}

/**
 * As {@link layer}, as an effect.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  engine: EngineModule,
  options: Options = {}
): Effect.fn.Return<Engine, ProcessEngineError, Scope.Scope> {
  Limit.settings("a module of an engine", engine, moduleChecks)
  Limit.settings("processes of an engine", options, checks)
  const settings = Supervision.settingsOf(
    engine,
    options,
    "engines",
    options.engines ?? (engine.changes === true ? 1 : 2)
  )
  const memory = options.engineMemory ?? Math.floor((MemoryLimit.available() * 0.8) / settings.engines)
  yield* prepare
  const launch = ChildProcess.launch({
    module: settings.module,
    options: engine.options ?? (() => undefined),
    command: options.command ?? ChildProcess.thisNode(),
    title: settings.title,
    connections: settings.capacity,
    memory,
    isReplaceable: engine.replaceable ?? true,
    directory: options.directory,
    beatMillis: Supervision.beatMillis(settings),
    cancelGraceMillis: settings.cancelGraceMillis
  })
  return yield* Effect.mapError(
    Supervision.start(settings, launch),
    ({ message }) => new ProcessEngineError({ message })
  )
})

/**
 * A {@link QueryEngine} that runs in processes of its own.
 *
 * **Details**
 *
 * Requests, accepts, rejects, errors and chunks pass unchanged, and with back-pressure. A query that has to
 * stop (it was cancelled, took too long, lost its client, or the server stops) and has not within
 * `cancelGrace` is killed with its process. So is a process that sends no heartbeat. An ended process is
 * replaced at once, or after a growing delay if it was short-lived; requests wait meanwhile.
 *
 * The other queries of an ended process are run again in another one if none of their result has been passed
 * on and they change nothing. Those that may have caused the end are run one at a time and alone. All others
 * end with `engine_lost`, and so does a query that has ended two processes, which is not run a third time. The
 * error is not `retryable` for a query that was alone in its process: it may end the next one too.
 *
 * Where queries change something, their commits before the end of the process are there after the restart.
 *
 * Closing the scope ends the processes. They also end with this process, however it ends. Each inherits a
 * socket for each of its queries, and has no address that others could connect to.
 *
 * Fails with a {@link ProcessEngineError} if the first process cannot start; the others are started after
 * that. Dies with a `RangeError` that names an invalid setting.
 *
 * **Example** (DuckDB in two processes)
 *
 * ```ts
 * import { ProcessEngine, Server } from "dataconn"
 * import { Layer } from "effect"
 *
 * export const MarketServer = Server.layer().pipe(
 *   Layer.provide(ProcessEngine.layer(ProcessEngine.duckDb({ database: "market.duckdb" }), { engines: 2 }))
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  engine: EngineModule,
  options?: Options
): Layer.Layer<QueryEngine, ProcessEngineError> => Layer.effect(QueryEngine, make(engine, options))

/**
 * DuckDB's own limit is below that of its process, so that DuckDB can report to a query that
 * memory has run out.
 */
const shareOfDuckDb = 0.8

/**
 * The embedded DuckDB as an engine of processes.
 *
 * **Details**
 *
 * Each process opens the database, the files and the sample for itself. Relative paths are resolved in the
 * working directory that this process was started in. A `memoryLimit` applies to one
 * process; its default is 80 % of `engineMemory`. Spilled data go to the directory of the process, if there
 * is one. A database in memory that clients may change (`readWrite` without `database`) is back in its
 * initial state after its process has ended. `admit` runs in this process, before a request is passed on.
 * Throws a `RangeError` that names an invalid or unknown option.
 *
 * @category constructors
 * @since 0.1.0
 */
export const duckDb = (given: Omit<DuckDbOptions, "onLost" | "unstoppable">): EngineModule => {
  const { common, options } = DuckDbModule.of(given)
  return {
    ...common,
    replaceable: options.readWrite !== true || options.database !== undefined,
    options: ({ directory, isLater, memory }) => {
      const share = memory === Number.POSITIVE_INFINITY ? undefined : `${Math.floor(memory * shareOfDuckDb)}B`
      return {
        ...AbsolutePaths.of(options),
        skipUnreadable: isLater || options.skipUnreadable,
        spillDirectory: directory ?? options.spillDirectory,
        memoryLimit: options.memoryLimit ?? share,
        limitedBy: options.memoryLimit === undefined ? `engineMemory: ${memory} B` : undefined
      } satisfies DuckDbProcessOptions
    }
  }
}
