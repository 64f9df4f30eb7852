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

// Shared by all connections on which nobody waits.
const nobody: ReadonlyArray<Turn> = []
const none: ReadonlyArray<() => void> = []

export class Turns {
  private current: Turn | undefined
  private queue = nobody
  private waiters = none

  add(turn: Turn): void {
    if (this.current !== undefined) {
      this.queue = [...this.queue, turn]
      return
    }
    this.current = turn
    turn.start()
  }

  /** The current response is over. */
  over(): void {
    this.current = this.queue[0]
    if (this.current === undefined) {
      this.settle()
    } else {
      this.queue = this.queue.slice(1)
      this.current.start()
    }
  }

  private settle(): void {
    const { waiters } = this
    this.waiters = none
    for (const settled of waiters) settled()
  }

  /** The connection has ended. */
  abandon(): void {
    this.current?.abandon()
  }

  /** Waits until all are over. */
  get settled(): Effect.Effect<void> {
    return Effect.callback((resume) => {
      const settled = () => resume(Effect.void)
      this.waiters = [...this.waiters, settled]
      if (this.current === undefined) this.settle()
      return Effect.sync(() => {
        this.waiters = this.waiters.filter((each) => each !== settled)
      })
    })
  }
}
