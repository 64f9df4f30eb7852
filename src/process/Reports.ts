/**
 * The progress of a process's queries, sent to the parent with each heartbeat: readers need not wait for it.
 */
import * as Effect from "effect/Effect"
import type { AcceptedQuery, Engine, Progress } from "../engine/QueryEngine.ts"

/** The progress of queries by their ids. */
export type Reports = ReadonlyArray<readonly [queryId: string, progress: Progress]>

/** No reports. */
export const none: Reports = []

/** The child's half: the running queries whose progress may be requested. */
export class Reporter {
  private readonly running = new Set<AcceptedQuery>()

  /** The engine, whose queries are registered while their scopes are open. */
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

/** An engine that fails here reports nothing: heartbeats go on. */
const reportOf = ({ progress, queryId = "" }: AcceptedQuery): Reports[number] => {
  try {
    return [queryId, progress?.() ?? {}]
  } catch {
    return [queryId, {}]
  }
}
