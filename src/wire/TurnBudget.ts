/**
 * How much a thread does in one turn of the event loop: the bytes it writes before the loop polls, and a queue of
 * those who wait for a turn.
 *
 * When the kernel takes every write whole, writers keep each other busy from within one turn of the event
 * loop: nothing is read, no timer fires, and a cancel waits for as long as the data lasts. All writers of a
 * thread therefore draw on one budget, and whoever finds it spent waits for the next turn. One budget a
 * writer would not do: twenty streams would make a cancel twenty times as late.
 *
 * The write that reaches the end of the budget may overdraw it, by no more than a piece. One writer has half of a turn
 * at most, but for such a write, if there are others: a peer that has just been handed so much empties its socket
 * while the next one's is filled.
 *
 * When a crowd waits it has its turn before the next socket is read, as far as the budget lasts: by the end of a
 * turn that has brought a thousand requests, the processor's caches have lost what belongs to the first.
 *
 * A client's consumers wait in the same queue for responses that have arrived, so that they have their turn together.
 */
import * as Context from "effect/Context"
import type { Scheduler } from "effect/Scheduler"
import * as Limit from "./Limit.ts"

/** Whoever waits for a turn: a writer, or a response's consumer. */
export interface Waiter {
  /** The turn has come. What is thrown costs nobody else the turn. */
  readonly resume: () => void
  /** Whether it waits already, and who waits behind it. Belong to the budget. */
  waits: boolean
  behind: Waiter | undefined
}

/** How much is done at a time within the budget. */
export interface BudgetOptions {
  /** How many waiters are a crowd. Default 128. */
  readonly crowd?: number | undefined
  /**
   * How many bytes a socket is handed at once, at most; a longer write goes out in pieces, as the budget allows.
   * Default 960 KiB, 15 segments of 64 KiB: of a write just above that each byte takes a third more CPU on loopback.
   */
  readonly pieceSize?: number | undefined
}

/** A budget of bytes for each turn of the event loop, and who waits for one. */
export class Budget {
  readonly bytesPerTurn: number
  /** How many bytes a socket is handed at once. */
  readonly pieceSize: number
  /** How much one writer writes before others have their turn. */
  readonly share: number
  private readonly crowd: number
  private spent = 0
  private scheduled = false
  /** How many more have their turn in this turn of the event loop. */
  private turns = 0
  private waiting = 0
  private first: Waiter | undefined
  private last: Waiter | undefined

  constructor(bytesPerTurn: number, { crowd = 128, pieceSize = 960 * 1024 }: BudgetOptions = {}) {
    this.bytesPerTurn = Limit.size("bytesPerTurn", bytesPerTurn, 1)
    this.crowd = Limit.count("crowd", crowd, 1)
    this.pieceSize = Limit.size("pieceSize", pieceSize, 1)
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
   * Resumes the waiter in a later turn of the event loop, or when a crowd waits, once however often that is
   * asked for. Writers come in the order in which they began to wait, as many in a turn as the budget lasts for:
   * whoever comes again waits behind those that have not had their turn.
   */
  nextTurn(waiter: Waiter, scheduler: Scheduler): void {
    if (waiter.waits) return
    waiter.waits = true
    if (this.last === undefined) this.first = waiter
    else this.last.behind = waiter
    this.last = waiter
    this.waiting++
    if (this.waiting === this.crowd) queueMicrotask(this.run)
    if (!this.scheduled) this.schedule(scheduler)
  }

  /** The same, but still in this turn if budget is left when the others have had theirs. */
  giveWay(waiter: Waiter, scheduler: Scheduler): void {
    this.turns++
    this.nextTurn(waiter, scheduler)
  }

  private schedule(scheduler: Scheduler): void {
    this.scheduled = true
    scheduler.makeDispatcher().scheduleTask(() => {
      this.scheduled = false
      this.spent = 0
      try {
        this.run()
      } finally {
        if (this.waiting > 0 && !this.scheduled) this.schedule(scheduler)
      }
    }, 0)
  }

  private readonly run = (): void => {
    // Those that come again have gone to the end.
    this.turns = this.waiting
    for (; this.turns > 0 && !this.exhausted; this.turns--) this.shift()?.resume()
  }

  private shift(): Waiter | undefined {
    const waiter = this.first
    if (waiter === undefined) return undefined
    this.first = waiter.behind
    if (this.first === undefined) this.last = undefined
    this.waiting--
    waiter.waits = false
    waiter.behind = undefined
    return waiter
  }
}

/**
 * The budget that writers draw on: 512 KiB a turn, which one write of a large result spends, shared by all
 * connections of the thread unless another one is provided.
 */
export const TurnBudget: Context.Reference<Budget> = Context.Reference("dataconn/wire/TurnBudget", {
  defaultValue: () => new Budget(512 * 1024)
})
