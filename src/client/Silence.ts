/** Detects a silent server: not even a heartbeat arrived for longer than the tolerance. */
import * as Timers from "../loop/Timers.ts"

export interface Options {
  readonly timers: Timers.Timers
  /** May be `Infinity`, which disables the detection. */
  readonly toleranceMillis: number
  /** The time at which bytes last arrived, in milliseconds of the timers. */
  readonly lastReadAt: () => number
  /** Whether the server must send bytes now. */
  readonly isExpected: () => boolean
  /** Called when the server has been silent for too long. */
  readonly silent: () => void
  /** Called when a check has found received bytes. */
  readonly checked: () => void
}

export class Silence {
  private readonly options: Options
  private readonly deadline: Timers.Deadline
  private isChecking = false
  /** The time since which the server must send bytes. */
  private expectedAt = 0

  constructor(options: Options) {
    this.options = options
    this.deadline = options.timers.deadline(() => this.look())
  }

  private get isWatched(): boolean {
    return this.options.toleranceMillis !== Timers.never
  }

  /** From now on the server must send bytes. */
  expect(): void {
    if (!this.isWatched) return
    this.expectedAt = this.options.timers.now()
    this.deadline.set(this.overAt)
  }

  /** The server must send bytes; its time counts from its last byte. */
  goOn(): void {
    if (this.isWatched) this.deadline.set(this.overAt)
  }

  private get overAt(): number {
    return Math.max(this.expectedAt, this.options.lastReadAt()) + this.options.toleranceMillis
  }

  /**
   * Whether the tolerance is exceeded at this time, in milliseconds of the timers. The socket may hold unread
   * bytes.
   */
  isOverAt(now: number): boolean {
    return this.overAt <= now
  }

  /** Checks for bytes that the socket already holds, which a busy thread has not read yet. */
  check(): void {
    this.isChecking = true
    this.deadline.clear()
    this.deadline.set(this.options.timers.now() + 1)
  }

  clear(): void {
    this.deadline.clear()
  }

  private look(): void {
    const { checked, isExpected, silent, timers } = this.options
    const { isChecking } = this
    this.isChecking = false
    if (!isExpected()) return
    if (this.isOverAt(timers.now())) {
      silent()
    } else {
      this.deadline.set(this.overAt)
      if (isChecking) checked()
    }
  }
}
