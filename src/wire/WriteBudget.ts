/**
 * How many bytes a thread writes before it lets the event loop poll.
 *
 * When the kernel takes every write whole, writers keep each other busy from within one turn of the event
 * loop: nothing is read, no timer fires, and a cancel waits for as long as the data lasts. All writers of a
 * thread therefore draw on one budget, and whoever finds it spent waits for the next turn. One budget a
 * writer would not do: twenty streams would make a cancel twenty times as late.
 *
 * One writer has half of a turn at most, if there are others: a peer that has just been handed so much empties
 * its socket while the next one's is filled.
 */
import * as Context from "effect/Context"
import type { SchedulerDispatcher } from "effect/Scheduler"

/** A budget of bytes for each turn of the event loop. */
export class Budget {
  readonly bytesPerTurn: number
  /** How much one writer writes before others have their turn. */
  readonly share: number
  private spent = 0
  private scheduled = false
  /** How many have their turn in this turn of the event loop. */
  private turns = 0
  private readonly waiting = new Set<() => void>()

  constructor(bytesPerTurn: number) {
    this.bytesPerTurn = bytesPerTurn
    this.share = bytesPerTurn / 2
  }

  /** Whether a writer has to wait for {@link nextTurn} before it writes. */
  get exhausted(): boolean {
    return this.spent >= this.bytesPerTurn
  }

  /** Records bytes handed to a socket. */
  spend(bytes: number): void {
    this.spent += bytes
  }

  /**
   * Calls `resume` in a later turn of the event loop, once however often that is asked for. Writers come in
   * the order in which they began to wait, as many in a turn as the budget lasts for: whoever comes again
   * waits behind those that have not had their turn.
   */
  nextTurn(resume: () => void, dispatcher: SchedulerDispatcher): void {
    this.waiting.add(resume)
    this.schedule(dispatcher)
  }

  /** The same, but still in this turn if budget is left when the others have had theirs. */
  giveWay(resume: () => void, dispatcher: SchedulerDispatcher): void {
    this.turns++
    this.nextTurn(resume, dispatcher)
  }

  private schedule(dispatcher: SchedulerDispatcher): void {
    if (this.scheduled) return
    this.scheduled = true
    dispatcher.scheduleTask(() => {
      this.scheduled = false
      this.spent = 0
      this.turns = this.waiting.size
      for (const resume of this.waiting) {
        // Those that come again have gone to the end.
        if (this.turns-- === 0 || this.exhausted) break
        this.waiting.delete(resume)
        resume()
      }
      if (this.waiting.size > 0) this.schedule(dispatcher)
    }, 0)
  }
}

/**
 * The budget that writers draw on: 1 MiB a turn, shared by all connections of the thread unless another
 * one is provided.
 */
export const WriteBudget: Context.Reference<Budget> = Context.Reference("dataconn/wire/WriteBudget", {
  defaultValue: () => new Budget(1024 * 1024)
})
