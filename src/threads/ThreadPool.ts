/**
 * The threads that engines run in (`ThreadEngine`): their number, and the memory that each may take. Engines
 * of one program share them.
 */
import { availableParallelism } from "node:os"
import { type ResourceLimits, Worker } from "node:worker_threads"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Limit from "../settings/Limit.ts"
import * as ProcessExit from "./ProcessExit.ts"

/**
 * Settings of a pool.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options {
  /**
   * Most threads. Default: as many as can run at once on this machine. Stuck threads, which were to end and
   * still run (`stuck`), come on top: the pool never has more than twice as many in all.
   */
  readonly threads?: number | undefined
  /**
   * How much memory the objects of one thread may take, in MiB. A thread that needs more ends, and is
   * replaced. Buffers and native memory do not count. Default: Node's own limit.
   *
   * **Gotchas**
   *
   * This limit is no protection: V8 ends the whole process if one object alone exceeds the limit by more than
   * 16 MiB, as a long array or a large `Map` can when it grows. `ProcessEngine` protects from this.
   */
  readonly threadMemory?: number | undefined
}

/**
 * The pool has too few free threads. The message names the setting.
 *
 * @category errors
 * @since 0.1.0
 */
export class ThreadPoolError extends Schema.TaggedError<ThreadPoolError>()("ThreadPoolError", {
  message: Schema.String
}) {}

/**
 * A pool of threads.
 *
 * @category models
 * @since 0.1.0
 */
export interface ThreadPoolService {
  /** The number of threads. */
  readonly size: number
  /** How many threads are not reserved. */
  readonly free: Effect.Effect<number>
  /** How many threads were to end and still run, in native code or in a loop that nothing interrupts. */
  readonly stuck: Effect.Effect<number>
  /** Reserves threads for the scope. Fails with a {@link ThreadPoolError} if fewer are free. */
  readonly reserve: (threads: number) => Effect.Effect<void, ThreadPoolError, Scope.Scope>
  /**
   * Starts a program in a reserved thread. The caller handles its output. Throws a {@link ThreadPoolError} if
   * there are twice as many threads as the pool has, because so many are stuck.
   */
  readonly start: (program: URL, workerData: unknown) => Worker
  /**
   * Declares that a thread was to end and still runs. It counts as stuck until it ends, and the process does
   * not wait for it when it ends itself. Returns how many are stuck, and how many there may be in all.
   */
  readonly abandon: (thread: Worker) => { readonly stuck: number; readonly most: number }
}

/**
 * The threads that engines run in.
 *
 * @category services
 * @since 0.1.0
 */
export class ThreadPool extends Context.Service<ThreadPool, ThreadPoolService>()("dataconn/ThreadPool") {}

const checks: Limit.Checks<Options> = {
  threads: (name, given: number) => Limit.count(name, given, 1),
  threadMemory: (name, given: number) => Limit.count(name, given, 8)
}

/**
 * A pool. Dies with a `RangeError` that names an invalid setting.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): ThreadPoolService => {
  const { threadMemory, threads: size = availableParallelism() } = Limit.settings(
    "a pool of threads",
    options,
    checks
  )
  const resourceLimits: ResourceLimits =
    threadMemory === undefined ? {} : { maxOldGenerationSizeMb: threadMemory }
  const most = 2 * size
  const living = new Set<Worker>()
  /** Stuck threads, with the function that makes the process wait for them again. */
  const stuck = new Map<Worker, () => void>()
  const ended = (thread: Worker) => {
    living.delete(thread)
    stuck.get(thread)?.()
    stuck.delete(thread)
  }
  let free = size
  return {
    size,
    free: Effect.sync(() => free),
    stuck: Effect.sync(() => stuck.size),
    reserve: (threads) => {
      const take = Effect.suspend(() => {
        if (threads > free) return Effect.fail(tooFew(threads, free, size))
        free -= threads
        return Effect.void
      })
      const giveBack = Effect.sync(() => {
        free += threads
      })
      return Effect.acquireRelease(take, () => giveBack)
    },
    start: (program, workerData) => {
      if (living.size >= most) throw tooManyStuck(stuck.size, size)
      const thread = new Worker(program, { workerData, resourceLimits, stdout: true, stderr: true })
      living.add(thread)
      thread.once("exit", () => ended(thread))
      return thread
    },
    abandon: (thread) => {
      if (living.has(thread) && !stuck.has(thread)) {
        stuck.set(thread, ProcessExit.withoutWaiting())
        leave(thread)
      }
      return { stuck: stuck.size, most }
    }
  }
}

/** Makes the event loop wait neither for the thread nor for its output. */
const leave = (thread: Worker): void => {
  thread.unref()
  for (const output of [thread.stdout, thread.stderr]) {
    // The thread may print something later.
    output.on("error", () => {})
    output.push(null)
  }
}

const tooManyStuck = (stuck: number, size: number) =>
  new ThreadPoolError({
    message: `No thread is started: ${stuck} were to end and still run, and there may be ${2 * size} in all (threads: ${size})`
  })

const tooFew = (threads: number, free: number, size: number) =>
  new ThreadPoolError({
    message: `threads: ${threads} are asked for, and ${free} of the ${size} threads of the pool are free`
  })

/**
 * A pool as a layer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<ThreadPool> =>
  Layer.effect(
    ThreadPool,
    Effect.sync(() => make(options))
  )
