/**
 * What one run has in common: its clock, its transcript, and what was found wrong.
 */
import type { VirtualClock } from "./VirtualClock.ts"

export class Run {
  readonly transcript: Array<string> = []
  readonly failures: Array<string> = []
  private readonly clock: VirtualClock

  constructor(clock: VirtualClock) {
    this.clock = clock
  }

  get now(): number {
    return this.clock.currentTimeMillisUnsafe()
  }

  tell(who: string, what: string): void {
    this.transcript.push(`${String(this.now).padStart(7)} ms  ${who.padEnd(9)} ${what}`)
  }

  wrong(who: string, what: string): void {
    if (this.failures.includes(`${who}: ${what}`)) return
    this.failures.push(`${who}: ${what}`)
    this.tell(who, `WRONG: ${what}`)
  }
}
