/**
 * How many bytes a thread writes before it lets the event loop poll.
 *
 * When the kernel takes every write whole, writers keep each other busy from within one turn of the event
 * loop: nothing is read, no timer fires, and a cancel waits for as long as the data lasts. All writers of a
 * thread therefore draw on one budget, and whoever finds it spent waits for the next turn. One budget a
 * writer would not do: twenty streams would make a cancel twenty times as late.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/** A budget of bytes for each turn of the event loop. */
export class Budget {
  readonly bytesPerTurn: number
  private spent = 0
  private turn = 0

  constructor(bytesPerTurn: number) {
    this.bytesPerTurn = bytesPerTurn
  }

  /** Whether a writer has to wait for {@link nextTurn} before it writes. */
  get exhausted(): boolean {
    return this.spent >= this.bytesPerTurn
  }

  /** Records bytes handed to a socket. */
  spend(bytes: number): void {
    this.spent += bytes
  }

  /** Yields through the event loop. The first writer to come back in a new turn refills the budget. */
  readonly nextTurn: Effect.Effect<void> = Effect.suspend(() => {
    const turn = this.turn
    return Effect.map(Effect.yieldNow, () => {
      if (this.turn !== turn) return
      this.turn++
      this.spent = 0
    })
  })
}

/**
 * The budget that writers draw on: 1 MiB a turn, shared by all connections of the thread unless another
 * one is provided.
 */
export const WriteBudget: Context.Reference<Budget> = Context.Reference("dataconn/wire/WriteBudget", {
  defaultValue: () => new Budget(1024 * 1024)
})
