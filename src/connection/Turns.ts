/**
 * Whose turn it is to write: the responses of a connection, one after the other.
 */
import * as Effect from "effect/Effect"

/** One response, which says when it is over. */
export interface Turn {
  /** Its turn has come, although the connection may have ended by then. */
  readonly start: () => void
  /** The connection has ended: whatever it waits for of the socket will not come. */
  readonly abandon: () => void
}

export class Turns {
  private current: Turn | undefined
  private readonly queue: Array<Turn> = []
  private waiters: Array<() => void> = []

  add(turn: Turn): void {
    if (this.current !== undefined) {
      this.queue.push(turn)
      return
    }
    this.current = turn
    turn.start()
  }

  /** The current response is over. */
  over(): void {
    this.current = this.queue.length === 0 ? undefined : this.queue.shift()
    if (this.current !== undefined) this.current.start()
    else if (this.waiters.length > 0) this.settle()
  }

  private settle(): void {
    for (const settled of this.waiters.splice(0)) settled()
  }

  /** The connection has ended. */
  abandon(): void {
    this.current?.abandon()
  }

  /** Waits until all are over. */
  get settled(): Effect.Effect<void> {
    return Effect.callback((resume) => {
      const settled = () => resume(Effect.void)
      this.waiters.push(settled)
      if (this.current === undefined) this.settle()
      return Effect.sync(() => {
        this.waiters = this.waiters.filter((each) => each !== settled)
      })
    })
  }
}
