/**
 * An engine in threads of its own: its JavaScript computation does not block the server, and can be killed.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as AbsolutePaths from "../engine/duckdb/AbsolutePaths.ts"
import type { DuckDbOptions } from "../engine/duckdb/Database.ts"
import { type Engine, QueryEngine } from "../engine/QueryEngine.ts"
import type { Options as DuckDbChildOptions } from "../process/DuckDb.ts"
import * as DuckDbModule from "../process/DuckDbModule.ts"
import * as Supervision from "../process/Supervision.ts"
import * as Limit from "../settings/Limit.ts"
import * as Thread from "./Thread.ts"
import { ThreadPool } from "./ThreadPool.ts"

/**
 * An engine that threads load.
 *
 * @category models
 * @since 0.1.0
 */
export interface EngineModule extends Supervision.EngineModule {
  /** The first argument of `make`: any value that structured cloning can copy. */
  readonly options?: unknown
  /**
   * Whether a thread may be killed at any time. JavaScript then ends at once; for that V8 unrolls no loops
   * any more in this process (`--no-turboshaft-loop-unrolling`). Native code does not end at once, and Node
   * ends the whole process when an addon's call returns to a killed thread. So an engine that waits for an
   * addon, such as DuckDB's, sets `false`: its threads are asked to end, and never killed. Default `true`.
   */
  readonly killable?: boolean | undefined
}

/**
 * Settings of the threads.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options extends Supervision.Options {
  /**
   * The number of threads, each with an engine of its own. Default: all that are free in the pool, or 1 if
   * queries change something: more are refused then.
   */
  readonly threads?: number | undefined
}

/**
 * No thread could be started, or the pool has too few. The message has the reason.
 *
 * @category errors
 * @since 0.1.0
 */
export class ThreadEngineError extends Schema.TaggedError<ThreadEngineError>()("ThreadEngineError", {
  message: Schema.String
}) {}

const moduleChecks: Limit.Checks<EngineModule> = {
  ...Supervision.moduleChecks,
  options: Limit.any,
  killable: Limit.flag
}

const checks: Limit.Checks<Options> = { ...Supervision.checks, threads: Limit.any }

/**
 * As {@link layer}, as an effect.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  engine: EngineModule,
  options: Options = {}
): Effect.fn.Return<Engine, ThreadEngineError, ThreadPool | Scope.Scope> {
  Limit.settings("a module of an engine", engine, moduleChecks)
  Limit.settings("threads of an engine", options, checks)
  const pool = yield* ThreadPool
  const threads = options.threads ?? (engine.changes === true ? 1 : Math.max(1, yield* pool.free))
  const isKillable = engine.killable !== false
  const cancelGrace = isKillable ? options.cancelGrace : "Infinity"
  const settings = {
    ...Supervision.settingsOf(engine, { ...options, cancelGrace }, "threads", threads),
    isKillable
  }
  const launch = Thread.launch({
    pool,
    module: settings.module,
    options: engine.options,
    connections: settings.capacity,
    title: settings.title,
    isKillable,
    beatMillis: Supervision.beatMillis(settings),
    cancelGraceMillis: settings.cancelGraceMillis
  })
  return yield* Effect.andThen(pool.reserve(threads), Supervision.start(settings, launch)).pipe(
    Effect.mapError(({ message }) => new ThreadEngineError({ message }))
  )
})

/**
 * A {@link QueryEngine} that runs in threads of its own, taken from the {@link ThreadPool}.
 *
 * **Details**
 *
 * Requests, accepts, rejects, errors and chunks pass unchanged, and with back-pressure. A query that has to
 * stop (it was cancelled, took too long, lost its client, or the server stops) and has not within
 * `cancelGrace` is killed with its thread. So is a thread that sends no heartbeat, such as one in an endless
 * loop of JavaScript. An ended thread is replaced, as a process of `ProcessEngine` is, with the same promises
 * for the other queries.
 *
 * **Gotchas**
 *
 * A thread does not protect from events that end the whole process: a fault of native code, the machine
 * running out of memory, or an object that needs much more memory in one step than the thread may have
 * (`threadMemory`). `ProcessEngine` does.
 *
 * A thread in a call of native code, or of a built-in function of V8, ends only after that call. Meanwhile it
 * is stuck: the pool counts it, and starts no thread once there are twice as many as the pool has. The
 * process ends without it.
 *
 * Closing the scope ends the threads.
 *
 * Fails with a {@link ThreadEngineError} if the first thread cannot start or the pool has too few. Dies with
 * a `RangeError` that names an invalid setting.
 *
 * **Example** (An engine of one's own in four threads)
 *
 * ```ts
 * import { Server, ThreadEngine, ThreadPool } from "dataconn"
 * import { Layer } from "effect"
 *
 * const Engine = ThreadEngine.layer({ module: new URL("./Primes.js", import.meta.url) })
 *
 * export const PrimeServer = Server.layer().pipe(
 *   Layer.provide(Engine),
 *   Layer.provide(ThreadPool.layer({ threads: 4 }))
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  engine: EngineModule,
  options?: Options
): Layer.Layer<QueryEngine, ThreadEngineError, ThreadPool> => Layer.effect(QueryEngine, make(engine, options))

/**
 * The embedded DuckDB as an engine of threads.
 *
 * **Details**
 *
 * DuckDB computes on threads of its own anyway. Here only the engine's own event loop is blocked while its
 * results and errors are read. One thread is enough, and each further one opens the database again. Calls
 * that DuckDB cannot interrupt run to their end. `admit` runs in the thread of the server, before a
 * request is passed on. Throws a `RangeError` that names an invalid or unknown option.
 *
 * @category constructors
 * @since 0.1.0
 */
export const duckDb = (given: Omit<DuckDbOptions, "onLost" | "unstoppable">): EngineModule => {
  const { common, options } = DuckDbModule.of(given)
  return {
    ...common,
    killable: false,
    options: { ...AbsolutePaths.of(options), limitedBy: undefined } satisfies DuckDbChildOptions
  }
}
