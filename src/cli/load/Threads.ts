/**
 * Runs a load in threads, and adds up their counts.
 */
import { Worker } from "node:worker_threads"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Timers from "../../loop/Timers.ts"
import { type Counters, type Percentiles, percentiles, Tally } from "./Tally.ts"
import { split, type Task } from "./Task.ts"
import type { News, Order } from "./Thread.ts"

/** The load could not be started. */
export class LoadError extends Schema.TaggedError<LoadError>()("LoadError", { message: Schema.String }) {}

/** One second of a load. */
export interface Second {
  /** Time since the start, in seconds. */
  readonly at: number
  readonly counters: Counters
  /** The latency of all kinds; `undefined` if no response ended. */
  readonly latency: Percentiles | undefined
}

/** The result of a load. */
export interface Outcome {
  /** The counts by kind. */
  readonly tallies: ReadonlyArray<Tally>
  readonly seconds: number
  /** Processor time of the threads, in seconds. */
  readonly cpuSeconds: number
  readonly timeline: ReadonlyArray<Second>
}

/** A module of this folder as a thread's program: TypeScript in the sources, JavaScript in the package. */
const program = (name: string): URL =>
  new URL(`./${name}${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url)

/** Starts a thread. The scope ends it. */
export const start = (name: string, workerData: unknown): Effect.Effect<Worker, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => new Worker(program(name), { workerData })),
    (worker) => Effect.promise(() => worker.terminate())
  )

/** Threads that connect and then wait for the order to begin. */
class Load {
  readonly kinds: number
  readonly ready = Deferred.makeUnsafe<void, LoadError>()
  readonly done = Deferred.makeUnsafe<void, LoadError>()
  readonly tallies: ReadonlyArray<Tally>
  readonly timeline: Array<Second> = []
  private readonly now: () => number
  private readonly workers: ReadonlyArray<Worker>
  private readonly cpu: Array<number>
  private readonly onSecond: (second: Second) => void
  private connected = 0
  private ended = 0
  private startedAt = 0
  private endedAt = 0
  private current: Tally = new Tally()
  private counts = 0

  constructor(
    workers: ReadonlyArray<Worker>,
    kinds: number,
    now: () => number,
    onSecond: (second: Second) => void
  ) {
    this.workers = workers
    this.kinds = kinds
    this.now = now
    this.onSecond = onSecond
    this.cpu = workers.map(() => 0)
    this.tallies = Array.from({ length: kinds }, () => new Tally())
    workers.forEach((worker, index) => {
      worker.on("message", (news: News) => this.hear(index, news))
      worker.on("error", (error: Error) => this.fail(error.message))
    })
  }

  tell(order: Order): void {
    for (const worker of this.workers) worker.postMessage(order)
  }

  begin(): void {
    this.startedAt = this.now()
    this.tell("begin")
  }

  private fail(message: string): void {
    const failed = Effect.fail(new LoadError({ message }))
    Deferred.doneUnsafe(this.ready, failed)
    Deferred.doneUnsafe(this.done, failed)
  }

  private hear(thread: number, news: News): void {
    switch (news._tag) {
      case "Ready":
        this.connected++
        if (this.connected === this.workers.length) Deferred.doneUnsafe(this.ready, Effect.void)
        break
      case "Counted":
        this.count(thread, news)
        break
      case "Done":
        this.ended++
        if (this.ended < this.workers.length) break
        this.endedAt = this.now()
        Deferred.doneUnsafe(this.done, Effect.void)
        break
      case "Failed":
        this.fail(news.message)
    }
  }

  private count(thread: number, news: Extract<News, { readonly _tag: "Counted" }>): void {
    this.cpu[thread] = news.seconds
    news.tallies.forEach((encoded, kind) => {
      const tally = Tally.decode(encoded)
      this.tallies[kind]?.add(tally)
      this.current.add(tally)
    })
    this.counts++
    if (this.counts % this.workers.length !== 0) return
    const { counters, histograms } = this.current
    const at = (this.now() - this.startedAt) / 1000
    const second: Second = { at, counters, latency: percentiles(histograms.corrected) }
    this.current = new Tally()
    this.timeline.push(second)
    this.onSecond(second)
  }

  get outcome(): Outcome {
    const end = this.endedAt === 0 ? this.now() : this.endedAt
    return {
      tallies: this.tallies,
      seconds: (end - this.startedAt) / 1000,
      cpuSeconds: this.cpu.reduce((sum, seconds) => sum + seconds, 0),
      timeline: this.timeline
    }
  }
}

/** The options of a load besides its task. */
export interface Options {
  readonly threads: number
  /** Called with the counts of each second. */
  readonly onSecond?: ((second: Second) => void) | undefined
}

/**
 * Runs a load to its end. Fails if a connection cannot be made. Interruption ends the threads, and
 * `onInterrupt` gets the counts so far.
 */
export const run = (
  task: Task,
  { onSecond = () => {}, threads }: Options,
  onInterrupt: (outcome: Outcome) => void = () => {}
): Effect.Effect<Outcome, LoadError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      const workers = yield* Effect.forEach(split(task, threads), (part) => start("Thread", part))
      const load = new Load(workers, task.kinds.length, () => Timers.elapsed(clock), onSecond)
      yield* Deferred.await(load.ready)
      load.begin()
      yield* Effect.onInterrupt(Deferred.await(load.done), () => Effect.sync(() => onInterrupt(load.outcome)))
      return load.outcome
    })
  )

/** The address of a raw server that answers with results of so many bytes, while the scope is open. */
export const rawServer = (bytes: number): Effect.Effect<string, LoadError, Scope.Scope> =>
  Effect.flatMap(start("RawServer", { bytes }), (worker) =>
    Effect.callback<string, LoadError>((resume) => {
      worker.once("message", (port: number) => resume(Effect.succeed(`127.0.0.1:${port}`)))
      worker.once("error", (error: Error) => resume(Effect.fail(new LoadError({ message: error.message }))))
    })
  )
