/**
 * The scheduler of a thread's turns: a quantum of bytes that its writers may write before the event loop
 * polls, and a queue of tasks that wait for a turn.
 *
 * When the kernel takes every write whole, writers keep each other busy within one turn of the event loop:
 * nothing is read, no timer fires, and a cancel waits for as long as the data lasts. All writers of a thread
 * therefore share one quantum of bytes a turn, and wait for the next turn once it is spent. A quantum for
 * each writer would not do: twenty streams would make a cancel twenty times as late.
 *
 * The write that reaches the end of the quantum may overdraw it, by no more than `maxWriteSize`. Except for
 * such a write, one writer has at most half of a turn if there are others: its peer empties its socket while
 * the next one's is filled.
 *
 * When many tasks wait they run before the next socket is read, as far as the quantum lasts: at the end of a
 * turn with a thousand requests, the processor's caches have lost the data of the first.
 *
 * A client's consumers wait in the same queue for arrived responses, so that they are resumed in one batch.
 */
import * as Context from "effect/Context"
import type { Scheduler as EffectScheduler } from "effect/Scheduler"
import * as Limit from "../settings/Limit.ts"

/**
 * A writer or a consumer that waits for a turn.
 *
 * @category models
 * @since 0.1.0
 */
export interface Task {
  /** Called when the turn has come. An exception does not affect other tasks. */
  readonly resume: () => void
  /** Whether the task waits, and the task behind it. These members belong to the scheduler. */
  waits: boolean
  behind: Task | undefined
}

/**
 * Settings of a scheduler.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options {
  /**
   * The number of bytes written in a turn of the event loop. Default 512 KiB, one write of a large result.
   */
  readonly quantum?: number | undefined
  /** The number of waiting tasks at which they run before the next socket is read. Default 128. */
  readonly maxWaiting?: number | undefined
  /**
   * The number of bytes that a socket is given at once; a longer write goes out in several, as the quantum
   * allows. Default 960 KiB, 15 segments of 64 KiB: writes just above this cost a third more CPU per byte on
   * loopback.
   */
  readonly maxWriteSize?: number | undefined
}

const checks: Limit.Checks<Options> = {
  quantum: (name, given: number) => Limit.size(name, given, 1),
  maxWaiting: (name, given: number) => Limit.count(name, given, 1),
  maxWriteSize: (name, given: number) => Limit.size(name, given, 1)
}

/**
 * A quantum of bytes for each turn of the event loop, and the tasks that wait for one.
 *
 * @category models
 * @since 0.1.0
 */
export class Scheduler {
  readonly quantum: number
  /** The number of bytes that a socket is given at once. */
  readonly maxWriteSize: number
  /** The number of bytes that one writer writes before others have their turn. */
  readonly writerQuantum: number
  private readonly maxWaiting: number
  private spent = 0
  private scheduled = false
  /** The number of tasks left to run in this turn of the event loop. */
  private turns = 0
  private waiting = 0
  private first: Task | undefined
  private last: Task | undefined

  constructor(options: Options = {}) {
    const {
      maxWaiting = 128,
      maxWriteSize = 960 * 1024,
      quantum = 512 * 1024
    } = Limit.settings("a scheduler", options, checks)
    this.quantum = quantum
    this.maxWaiting = maxWaiting
    this.maxWriteSize = maxWriteSize
    this.writerQuantum = quantum / 2
  }

  /** Whether a writer has to wait for {@link nextTurn} before it writes. */
  get exhausted(): boolean {
    return this.spent >= this.quantum
  }

  /** Records bytes handed to a socket. */
  spend(bytes: number): void {
    this.spent += bytes
  }

  /**
   * Resumes the task in a later turn of the event loop, or earlier when many tasks wait. Repeated calls while
   * it waits have no effect. Tasks run in the order in which they began to wait, as many in a turn as the
   * quantum allows: a task that waits again goes to the end.
   */
  nextTurn(task: Task, effects: EffectScheduler): void {
    if (task.waits) return
    task.waits = true
    if (this.last === undefined) this.first = task
    else this.last.behind = task
    this.last = task
    this.waiting++
    if (this.waiting === this.maxWaiting) queueMicrotask(this.run)
    if (!this.scheduled) this.schedule(effects)
  }

  /** The same, but still in this turn if some of the quantum is left after the other tasks. */
  giveWay(task: Task, effects: EffectScheduler): void {
    this.turns++
    this.nextTurn(task, effects)
  }

  private schedule(effects: EffectScheduler): void {
    this.scheduled = true
    effects.makeDispatcher().scheduleTask(() => {
      this.scheduled = false
      this.spent = 0
      try {
        this.run()
      } finally {
        if (this.waiting > 0 && !this.scheduled) this.schedule(effects)
      }
    }, 0)
  }

  private readonly run = (): void => {
    // Tasks that wait again are at the end of the queue.
    this.turns = this.waiting
    for (; this.turns > 0 && !this.exhausted; this.turns--) this.shift()?.resume()
  }

  private shift(): Task | undefined {
    const task = this.first
    if (task === undefined) return undefined
    this.first = task.behind
    if (this.first === undefined) this.last = undefined
    this.waiting--
    task.waits = false
    task.behind = undefined
    return task
  }
}

/**
 * The scheduler of the thread's connections, unless another one is provided.
 *
 * @category services
 * @since 0.1.0
 */
export const TurnScheduler: Context.Reference<Scheduler> = Context.Reference("dataconn/loop/TurnScheduler", {
  defaultValue: () => new Scheduler()
})
