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

  const leave = Effect.sync(() => {
    const [next] = waiting
    if (next === undefined) {
      running--
    } else {
      waiting.delete(next)
      next()
    }
  })
  const entered = Effect.addFinalizer(() => leave)

  // Whoever is interrupted when the place has been handed over already passes it on.
  const turn = Effect.suspend(() => {
    let called = false
    return Effect.onInterrupt(
      Effect.interruptible(
        Effect.callback<void>((resume) => {
          const call = () => {
            called = true
            resume(Effect.void)
          }
          waiting.add(call)
          return Effect.sync(() => waiting.delete(call))
        })
      ),
      () => (called ? leave : Effect.void)
    )
  })

  const enter = Effect.uninterruptible(
    Effect.suspend(() => {
      if (running < options.maxConcurrentQueries) {
        running++
        return entered
      }
      return waiting.size < options.maxQueuedQueries
        ? Effect.andThen(turn, entered)
        : Effect.fail(overloaded(options))
    })
  )

  return QueryEngine.of({
    init: (request) => Effect.andThen(enter, engine.init(request))
  })
}
