/**
 * Limits how many queries run at a time: a bounded number waits for its turn, and what is beyond is rejected.
 */
import * as Effect from "effect/Effect"
import * as QueryApi from "../engine/QueryApi.ts"
import { QueryEngine, QueryRejected } from "../engine/QueryEngine.ts"

export interface Options {
  /** How many queries run at a time. */
  readonly maxConcurrentQueries: number
  /** How many more wait. */
  readonly maxQueuedQueries: number
}

const overloaded = (options: Options): QueryRejected =>
  new QueryRejected({
    payload: QueryApi.encodeError(
      new QueryApi.QueryError({
        code: "overloaded",
        message:
          `${options.maxConcurrentQueries} queries are running and ${options.maxQueuedQueries} are waiting ` +
          "(maxConcurrentQueries, maxQueuedQueries)",
        retryable: true
      })
    )
  })

/** The same engine, within limits. A query has its place until its scope closes; those who wait come in order. */
export const make = (engine: QueryEngine["Service"], options: Options): QueryEngine["Service"] => {
  const waiting = new Set<() => void>()
  let running = 0

  const leave = () => {
    const [next] = waiting
    if (next === undefined) {
      running--
    } else {
      // The place is handed on.
      waiting.delete(next)
      next()
    }
  }

  const enter = Effect.suspend(() => {
    let inside = false
    let resume = () => {}
    const call = () => {
      inside = true
      resume()
    }
    const turn = Effect.callback<void>((done) => {
      resume = () => done(Effect.void)
      if (inside) resume()
    })
    const exit = Effect.sync(() => {
      if (inside) leave()
      else waiting.delete(call)
    })
    return Effect.flatMap(
      Effect.addFinalizer(() => exit),
      () => {
        // The place, or that in the queue, is taken in the step that looks for it: nobody comes in between.
        if (running < options.maxConcurrentQueries) {
          running++
          inside = true
          return Effect.void
        }
        if (waiting.size >= options.maxQueuedQueries) return Effect.fail(overloaded(options))
        waiting.add(call)
        return turn
      }
    )
  })

  return QueryEngine.of({
    init: (request) => Effect.andThen(enter, engine.init(request))
  })
}
