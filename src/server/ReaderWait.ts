/**
 * The wait of a query for its reader: after a while the query gives up its place, and takes another one
 * before it resumes.
 */
import * as Effect from "effect/Effect"
import { QueryFailed } from "../engine/QueryEngine.ts"
import type * as Timers from "../loop/Timers.ts"
import * as LocalReply from "./LocalReply.ts"
import type * as QueryLimit from "./QueryLimit.ts"

export interface Dependencies {
  readonly limit: QueryLimit.Places
  readonly timers: Timers.Timers
  /** How long a query keeps its place while it waits for its reader. */
  readonly stallMillis: number
  /** How long a query may wait for another place. */
  readonly queueTimeoutMillis: number
}

const waitedTooLong =
  "The client read too slowly, so that others ran in the query's place, and none became free again (stallTimeout, queueTimeout)"

const overloaded = Effect.suspend(() =>
  Effect.fail(new QueryFailed({ payload: LocalReply.body("overloaded", false, waitedTooLong) }))
)

export class ReaderWait {
  private readonly dependencies: Dependencies
  private readonly place: QueryLimit.Place
  private readonly deadline: Timers.Deadline
  /** The start of the current wait for the reader, if any. */
  private since: number | undefined
  private isArmed = false
  private hasPlace = true
  /** Resumes the query when it has a place again. */
  private resume: ((turn: Effect.Effect<void, QueryFailed>) => void) | undefined

  constructor(dependencies: Dependencies, place: QueryLimit.Place) {
    this.dependencies = dependencies
    this.place = place
    this.deadline = dependencies.timers.deadline(() => this.expired())
  }

  /** Waits for the reader, and then for a place if it was given up. */
  until(room: Effect.Effect<void>): Effect.Effect<void, QueryFailed> {
    const { stallMillis, timers } = this.dependencies
    if (stallMillis === Number.POSITIVE_INFINITY) return room
    return Effect.suspend(() => {
      this.since = timers.now()
      if (!this.isArmed) this.arm(this.since + stallMillis)
      return Effect.andThen(room, this.return)
    })
  }

  // With fast readers the deadline stays armed: setting and clearing it for each of their waits costs more.
  private arm(at: number): void {
    this.isArmed = true
    this.deadline.set(at)
  }

  private expired(): void {
    const { limit, queueTimeoutMillis, stallMillis, timers } = this.dependencies
    this.isArmed = false
    if (this.resume !== undefined) this.go(overloaded)
    else if (this.since === undefined || !this.hasPlace) return
    else if (this.since + stallMillis > timers.now()) this.arm(this.since + stallMillis)
    // No more queries may be without a place now: this is tried again later.
    else if (limit.pause(this.place)) this.hasPlace = false
    else this.arm(timers.now() + Math.min(stallMillis, queueTimeoutMillis))
  }

  private readonly return: Effect.Effect<void, QueryFailed> = Effect.suspend(() => {
    this.since = undefined
    if (this.hasPlace) return Effect.void
    const { limit, queueTimeoutMillis, timers } = this.dependencies
    if (limit.resume(this.place) === "running") {
      this.hasPlace = true
      return Effect.void
    }
    return Effect.callback<void, QueryFailed>((resume) => {
      this.resume = resume
      this.deadline.set(timers.now() + queueTimeoutMillis)
    })
  })

  /** A place has become free. False if the query is not waiting for one to resume. */
  called(): boolean {
    if (this.resume === undefined) return false
    this.hasPlace = true
    this.go(Effect.void)
    return true
  }

  private go(turn: Effect.Effect<void, QueryFailed>): void {
    const { resume } = this
    this.resume = undefined
    this.deadline.clear()
    this.isArmed = false
    resume?.(turn)
  }

  /** The query has ended. */
  clear(): void {
    this.resume = undefined
    this.deadline.clear()
  }
}
