/**
 * Limits how many queries run at a time: a bounded number waits for its turn, and what is beyond is rejected.
 */
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
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

/** The same engine, within limits. A query has its permit until its scope closes. */
export const make = (engine: QueryEngine["Service"], options: Options): QueryEngine["Service"] => {
  const permits = Semaphore.makeUnsafe(options.maxConcurrentQueries)
  let admitted = 0
  const leave = Effect.sync(() => {
    admitted--
  })

  const acquire = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      if (admitted >= options.maxConcurrentQueries + options.maxQueuedQueries) {
        return yield* overloaded(options)
      }
      admitted++
      yield* Effect.onInterrupt(restore(permits.take(1)), () => leave)
      yield* Effect.addFinalizer(() => Effect.andThen(leave, permits.release(1)))
    })
  )

  return QueryEngine.of({
    init: (request) => Effect.andThen(acquire, engine.init(request))
  })
}
