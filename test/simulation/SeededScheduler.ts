/**
 * Runs fibers in an order that a seed decides, on the caller's stack and nowhere else.
 *
 * Every fiber has a dispatcher of its own, as with Effect's scheduler. The tasks of one dispatcher run in the
 * order of their priorities and then of their arrival, which Effect promises; between dispatchers the seed
 * chooses. It also decides where a fiber is preempted.
 */
import type * as Fiber from "effect/Fiber"
import type * as Scheduler from "effect/Scheduler"
import type { Random } from "./Random.ts"

export interface Options {
  readonly random: Random
  /** How probable it is that a fiber is preempted before any one of its operations. */
  readonly preemption: number
}

interface Task {
  readonly run: () => void
  readonly priority: number
}

// Effect lets a fiber that goes on do 2048 operations before it preempts it. What is forked "at once" relies on
// the first few of them: to install its finalizers, for one.
const firstPreemptible = 10

export class SeededScheduler implements Scheduler.Scheduler {
  readonly executionMode = "sync"
  private readonly options: Options
  private readonly waiting: Array<Dispatcher> = []

  constructor(options: Options) {
    this.options = options
  }

  shouldYield(fiber: Fiber.Fiber<unknown, unknown>): boolean {
    const { preemption, random } = this.options
    return preemption > 0 && fiber.currentOpCount >= firstPreemptible && random.chance(preemption)
  }

  makeDispatcher(): Scheduler.SchedulerDispatcher {
    return new Dispatcher((dispatcher) => this.waiting.push(dispatcher))
  }

  /** A task of the world outside: a timer that is over, a segment that arrives. */
  schedule(run: () => void): void {
    this.makeDispatcher().scheduleTask(run, 0)
  }

  /** Runs one task, or says that there is none. */
  runOne(): boolean {
    const { waiting } = this
    if (waiting.length === 0) return false
    const at = this.options.random.below(waiting.length)
    const dispatcher = waiting[at] as Dispatcher
    const task = dispatcher.take()
    if (dispatcher.isEmpty) {
      waiting[at] = waiting.at(-1) as Dispatcher
      waiting.pop()
    }
    task?.run()
    return true
  }
}

class Dispatcher implements Scheduler.SchedulerDispatcher {
  private readonly tasks: Array<Task> = []
  private readonly onTask: (dispatcher: Dispatcher) => void

  constructor(onTask: (dispatcher: Dispatcher) => void) {
    this.onTask = onTask
  }

  get isEmpty(): boolean {
    return this.tasks.length === 0
  }

  scheduleTask(run: () => void, priority: number): void {
    if (this.isEmpty) this.onTask(this)
    const before = this.tasks.findLastIndex((task) => task.priority <= priority)
    this.tasks.splice(before + 1, 0, { run, priority })
  }

  take(): Task | undefined {
    return this.tasks.shift()
  }

  flush(): void {
    throw new Error("Only the simulation runs tasks")
  }
}
