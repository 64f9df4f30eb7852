/**
 * Limits how many queries run at a time: a bounded number waits for its turn, and what is beyond is rejected.
 */
import * as Context from "effect/Context"
import * as QueryApi from "../engine/QueryApi.ts"
import { QueryRejected } from "../engine/QueryEngine.ts"

export interface Options {
  /** How many queries run at a time. */
  readonly maxConcurrentQueries: number
  /** How many more wait. */
  readonly maxQueuedQueries: number
}

/** Whoever takes a place. */
export interface Place {
  /** A place to run has become free for one that waits. */
  readonly call: () => void
}

/** The places that queries take: a bounded number runs, and a bounded number waits in the order of arrival. */
export class Limit {
  private readonly options: Options
  private readonly waiting = new Set<Place>()
  private running = 0

  constructor(options: Options) {
    this.options = options
  }

  /** Takes a place to run, or else one in the queue, or none. All but the last are to be left. */
  enter(place: Place): "running" | "waiting" | "full" {
    if (this.running < this.options.maxConcurrentQueries) {
      this.running++
      return "running"
    }
    if (this.waiting.size >= this.options.maxQueuedQueries) return "full"
    this.waiting.add(place)
    return "waiting"
  }

  /** Leaves the queue, or gives the place to run to whoever has waited longest. */
  leave(place: Place): void {
    if (this.waiting.delete(place)) return
    const [next] = this.waiting
    if (next === undefined) {
      this.running--
    } else {
      this.waiting.delete(next)
      next.call()
    }
  }

  /** What is told to a query for which there is no place. */
  overloaded(): QueryRejected {
    const { maxConcurrentQueries, maxQueuedQueries } = this.options
    return new QueryRejected({
      payload: QueryApi.encodeError(
        new QueryApi.QueryError({
          code: "overloaded",
          message:
            `${maxConcurrentQueries} queries are running and ${maxQueuedQueries} are waiting ` +
            "(maxConcurrentQueries, maxQueuedQueries)",
          retryable: true
        })
      )
    })
  }
}

/** The limit that connections share: a server provides its own, and there is none otherwise. */
export const QueryLimit: Context.Reference<Limit> = Context.Reference("dataconn/server/QueryLimit", {
  defaultValue: () =>
    new Limit({ maxConcurrentQueries: Number.POSITIVE_INFINITY, maxQueuedQueries: Number.POSITIVE_INFINITY })
})
