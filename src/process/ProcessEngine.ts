/**
 * An engine in processes of its own, which can be killed: no query takes the server down.
 *
 * The parent passes each query on to a process, and its chunks back without a copy. A query that does not stop when it
 * has to is killed with its process; a process that ends is replaced.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { PoolSettings } from "../client/Settings.ts"
import type { DuckDbOptions } from "../engine/duckdb/Database.ts"
import { type Engine, QueryEngine } from "../engine/QueryEngine.ts"
import * as Limit from "../settings/Limit.ts"
import * as ChildProcess from "./ChildProcess.ts"
import type { Options as DuckDbProcessOptions } from "./DuckDb.ts"
import * as MemoryLimit from "./MemoryLimit.ts"
import * as OomScore from "./OomScore.ts"
import * as Relay from "./Relay.ts"
import * as Supervisor from "./Supervisor.ts"

export type { Place } from "./ChildProcess.ts"
export type { Host } from "./EngineProcess.ts"

/**
 * An engine that processes load.
 *
 * @category models
 * @since 0.1.0
 */
export interface EngineModule {
  /**
   * A module that exports `make: (options, host) => Effect<Engine, E, Scope>`. Each process loads it; the message of an
   * `E` is why it could not start. `host` is a {@link Host}.
   */
  readonly module: URL | string
  /** The first argument of `make`: whatever structured cloning can copy. Asked for once for each process. */
  readonly options?: ((place: ChildProcess.Place) => unknown) | undefined
  /**
   * Whether queries may change something that outlives them, such as a database. There is one process then, and no query
   * is run a second time. Default `false`.
   */
  readonly changes?: boolean | undefined
  /**
   * Whether a process that has used up `engineMemory` with memory that it had freed may be replaced by another. Not
   * where it holds what another would not have, such as a database in memory that clients change. Default `true`.
   */
  readonly replaceable?: boolean | undefined
}

/**
 * Settings of the processes.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options {
  /** How many processes there are. Default 2, or 1 if queries change something: more are refused then. */
  readonly engines?: number | undefined
  /**
   * How much memory a process may take for its queries, in bytes, besides what it has when it is ready. Default: 80 % of
   * the memory of the machine or container, divided among the processes. Linux enforces it, if `prlimit` is installed;
   * a warning in the log says so if it cannot be.
   */
  readonly engineMemory?: number | undefined
  /** How long a query may take to stop before its process is killed. Default 2 seconds. */
  readonly cancelGrace?: Duration.Input | undefined
  /**
   * How long a process may give no sign of life before it is killed. After a fifth of that it is given no new queries
   * until it gives one. Default 3 seconds.
   */
  readonly engineSilence?: Duration.Input | undefined
  /** How long a process may take to become ready. Default 5 minutes. */
  readonly engineStartTimeout?: Duration.Input | undefined
  /** How long a query may wait for a process before it is rejected as `overloaded`. Default 30 seconds. */
  readonly waitTimeout?: Duration.Input | undefined
  /** How many queries may wait for a process; those beyond are rejected as `overloaded`. Default 256. */
  readonly maxWaiting?: number | undefined
  /**
   * How many queries may be under way in one process at a time, each of which takes two descriptors: those that run, and
   * those whose clients do not read meanwhile, which keep no place of the server's. Default 288, as many as a server has
   * with `maxConcurrentQueries` 32 and `maxQueuedQueries` 256.
   */
  readonly maxQueries?: number | undefined
  /** How long processes may take to end by themselves when the layer closes. Default 10 seconds. */
  readonly endTimeout?: Duration.Input | undefined
  /** Where each process has a directory of its own, which is removed when it has ended. Default: they have none. */
  readonly directory?: string | undefined
  /**
   * The program that runs a process, and its first arguments. It must be Node in the end, and pass its descriptors on, as
   * `systemd-run --scope` does. Default: this process's own Node with its arguments.
   */
  readonly command?: readonly [program: string, ...args: ReadonlyArray<string>] | undefined
  /** What lists of processes and the log call them, before their number. Default `dataconn engine`. */
  readonly title?: string | undefined
}

/**
 * No process could be started; the message says why.
 *
 * @category errors
 * @since 0.1.0
 */
export class ProcessEngineError extends Schema.TaggedError<ProcessEngineError>()("ProcessEngineError", {
  message: Schema.String
}) {}

/** Signs of life are looked for so many times in the time that a process may be silent. */
const looks = 10

/** So many looks without one, and a process is given no queries until it gives one. */
const silentTicks = 2

/** A process that has been ready for less has lived shortly, in milliseconds; the waits before it is replaced. */
const lives = { shortLifeMillis: 10_000, firstDelayMillis: 100, longestDelayMillis: 2000 }

/** For how long at most a process that is to be replaced goes on with its queries, in milliseconds. */
const retireMillis = 20_000

/** From when on a query is a long one, and for how long one runs alone that may have ended a process. */
const placement = { longMillis: 1000, quarantineMillis: 2000 }

/** The first answers need not share the processors with the start of other processes, in milliseconds. */
const spareMillis = 1000

/** A process that was killed and is not gone by then waits for the disk or the like, in milliseconds. */
const goneMillis = 10_000

const withDefaults = (engine: EngineModule, options: Options) => {
  const changes = engine.changes ?? false
  const engines = Limit.count("engines", options.engines ?? (changes ? 1 : 2), 1)
  if (changes && engines > 1) {
    throw new RangeError(
      "engines must be 1 where queries change something: two processes may not have one database"
    )
  }
  const silenceMillis = Limit.millis("engineSilence", options.engineSilence ?? "3 seconds")
  return {
    changes,
    engines,
    engineMemory: Limit.countOrInfinity(
      "engineMemory",
      options.engineMemory ?? Math.floor((MemoryLimit.available() * 0.8) / engines)
    ),
    cancelGraceMillis: Limit.millis("cancelGrace", options.cancelGrace ?? "2 seconds"),
    tickMillis: silenceMillis / looks,
    startMillis: Limit.millis("engineStartTimeout", options.engineStartTimeout ?? "5 minutes"),
    waitMillis: Limit.millis("waitTimeout", options.waitTimeout ?? "30 seconds"),
    maxWaiting: Limit.count("maxWaiting", options.maxWaiting ?? 256, 0),
    capacity: Limit.count("maxQueries", options.maxQueries ?? 288, 1),
    endMillis: Limit.millis("endTimeout", options.endTimeout ?? "10 seconds")
  }
}

/** What a process sends is within its own limits, and its signs of life come on another way. */
const connections = (capacity: number, cancelGraceMillis: number): Partial<PoolSettings> => ({
  maxConnections: capacity,
  maxQueuedRequests: capacity,
  idleTimeout: "Infinity",
  cancelTimeout: cancelGraceMillis,
  heartbeatTolerance: "Infinity",
  writeTimeout: "Infinity",
  maxFrameSize: 2 ** 32,
  maxAcceptSize: 2 ** 32,
  maxErrorSize: 2 ** 32
})

/**
 * Prepares the process to start others. To be called before it gives up its rights to write files, if it does: children
 * are otherwise no more eager to go than it is when the memory of the machine is out.
 *
 * @category constructors
 * @since 0.1.0
 */
export const prepare: Effect.Effect<void> = Effect.sync(() => void OomScore.prepare())

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
  const all = withDefaults(engine, options)
  yield* prepare
  const supervisor = yield* Supervisor.make({
    launch: ChildProcess.launch({
      module: String(engine.module),
      options: engine.options ?? (() => undefined),
      command: options.command ?? ChildProcess.thisNode(),
      title: options.title ?? "dataconn engine",
      connections: all.capacity,
      memory: all.engineMemory,
      isReplaceable: engine.replaceable ?? true,
      directory: options.directory,
      beatMillis: all.tickMillis / 2,
      cancelGraceMillis: all.cancelGraceMillis
    }),
    processes: all.engines,
    lifecycle: {
      ...lives,
      silentTicks,
      maxMissed: looks,
      maxRetireTicks: Math.ceil(retireMillis / all.tickMillis),
      maxStartTicks: Math.ceil(all.startMillis / all.tickMillis)
    },
    placement: { ...placement, capacity: all.capacity },
    client: connections(all.capacity, all.cancelGraceMillis),
    tickMillis: all.tickMillis,
    waitMillis: all.waitMillis,
    maxWaiting: all.maxWaiting,
    spareMillis,
    endMillis: all.endMillis
  }).pipe(Effect.mapError(({ message }) => new ProcessEngineError({ message })))
  return Relay.make(supervisor, { changes: all.changes, goneMillis })
})

/**
 * A {@link QueryEngine} that runs in processes of its own.
 *
 * **Details**
 *
 * Requests, accepts, rejects, errors and chunks pass as they are, and back-pressure with them. A query that has to stop
 * (it was cancelled, took too long, lost its client, or the server stops) and has not within `cancelGrace` is killed
 * with its process. So is a process that gives no sign of life. A process that ends is replaced at once, and later each
 * time that it has lived shortly; requests wait meanwhile.
 *
 * The other queries of a process that ends are run again in another one if nothing of their results has been passed on
 * and they change nothing; those that may have been the reason, one at a time and alone. All others end with
 * `engine_lost`, and so does a query that has ended two processes, which is not run a third time.
 *
 * Where queries change something, what they had committed by then is there after the restart.
 *
 * Closing the scope ends the processes. They end with this process too, however that ends. Each inherits a socket for
 * each of its queries, and has no address that others could connect to.
 *
 * Fails with a {@link ProcessEngineError} if the first process cannot start; the others are started after that. Dies
 * with a `RangeError` that names the setting whose value cannot be one.
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

/** DuckDB's own limit is below that of its process: it can then tell a query that memory is out. */
const shareOfDuckDb = 0.8

/**
 * The embedded DuckDB as an engine of processes.
 *
 * **Details**
 *
 * Each process opens the database, the files and the sample for itself. A `memoryLimit` is that of one process; by
 * default it is 80 % of `engineMemory`. Spilled data go to the directory of the process, if there is one. A database in
 * memory that clients may change (`readWrite` without `database`) is as it was in the beginning after its process has
 * ended.
 *
 * @category constructors
 * @since 0.1.0
 */
export const duckDb = (options: Omit<DuckDbOptions, "onLost" | "unstoppable">): EngineModule => ({
  module: new URL(import.meta.url.replace(/ProcessEngine(\.[jt]s)$/, "DuckDb$1")),
  changes: options.readWrite === true || options.allowExternalAccess === true,
  replaceable: options.readWrite !== true || options.database !== undefined,
  options: ({ directory, isLater, memory }) => {
    const share = memory === Number.POSITIVE_INFINITY ? undefined : `${Math.floor(memory * shareOfDuckDb)}B`
    return {
      ...options,
      skipUnreadable: isLater || options.skipUnreadable,
      spillDirectory: directory ?? options.spillDirectory,
      memoryLimit: options.memoryLimit ?? share,
      limitedBy: options.memoryLimit === undefined ? `engineMemory: ${memory} B` : undefined
    } satisfies DuckDbProcessOptions
  }
})
