/**
 * Watches for a server that is silent: not even a heartbeat came for longer than the tolerance.
 */
import * as Timers from "../loop/Timers.ts"

export interface Options {
  readonly timers: Timers.Timers
  /** May be `Infinity`: nothing is silence then. */
  readonly toleranceMillis: number
  /** When bytes last arrived, in milliseconds of the timers. */
  readonly lastReadAt: () => number
  /** Whether the server has to send something now. */
  readonly isExpected: () => boolean
  /** It has not, for too long. */
  readonly silent: () => void
  /** A check has found a sign of life. */
  readonly checked: () => void
}

export class Silence {
  private readonly options: Options
  private readonly deadline: Timers.Deadline
  private isChecking = false
  /** Since when the server has had to send something. */
  private expectedAt = 0

  constructor(options: Options) {
    this.options = options
    this.deadline = options.timers.deadline(() => this.look())
  }

  private get isWatched(): boolean {
    return this.options.toleranceMillis !== Timers.never
  }

  /** From now on the server has to send something. */
  expect(): void {
    if (!this.isWatched) return
    this.expectedAt = this.options.timers.now()
    this.deadline.set(this.overAt)
  }

  /** The server has to send something, from its last byte on. */
  goOn(): void {
    if (this.isWatched) this.deadline.set(this.overAt)
  }

  private get overAt(): number {
    return Math.max(this.expectedAt, this.options.lastReadAt()) + this.options.toleranceMillis
  }

  /** Whether too little has been heard by this time, in milliseconds of the timers. The socket may hold more. */
  isOverAt(now: number): boolean {
    return this.overAt <= now
  }

  /** Looks for a sign of life that the socket holds already: a thread that was busy has not read yet. */
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
