/**
 * How far the queries of a process are, which it tells its parent with each sign of life: nobody has to wait for it.
 */
import * as Effect from "effect/Effect"
import type { AcceptedQuery, Engine, Progress } from "../engine/QueryEngine.ts"

/** The progress of queries by their ids. */
export type Reports = ReadonlyArray<readonly [queryId: string, progress: Progress]>

/** Nothing is told. */
export const none: Reports = []

/** The child's half: the queries that run and may be asked about. */
export class Reporter {
  private readonly running = new Set<AcceptedQuery>()

  /** The engine, whose queries are known as long as their scopes are open. */
  of(engine: Engine): Engine {
    return {
      ...engine,
      init: (request) =>
        Effect.flatMap(engine.init(request), (query) =>
          query.progress === undefined ? Effect.succeed(query) : this.known(query)
        )
    }
  }

  private known(query: AcceptedQuery) {
    return Effect.acquireRelease(
      Effect.sync(() => {
        this.running.add(query)
        return query
      }),
      () => Effect.sync(() => this.running.delete(query))
    )
  }

  get reports(): Reports {
    return this.running.size === 0 ? none : Array.from(this.running, reportOf)
  }
}

/** An engine that breaks here says nothing: the signs of life go on. */
const reportOf = ({ progress, queryId = "" }: AcceptedQuery): Reports[number] => {
  try {
    return [queryId, progress?.() ?? {}]
  } catch {
    return [queryId, {}]
  }
}
