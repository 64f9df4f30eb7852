/**
 * The running queries whose progress may be asked for, by their ids, and the answers to progress requests.
 *
 * The id is the only credential: a client that keeps it secret is the only one that can ask.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as QueryApi from "../engine/QueryApi.ts"
import { type AcceptedQuery, type Progress, QueryRejected } from "../engine/QueryEngine.ts"

/** A query that runs. */
export interface RunningQuery {
  readonly queryId: string
  readonly progress: () => Progress
  /** In milliseconds. */
  readonly elapsed: () => number
}

export class Registry {
  private readonly queries = new Map<string, RunningQuery>()

  /** Of two queries with one id, the later one is registered. */
  enter(query: RunningQuery): void {
    this.queries.set(query.queryId, query)
  }

  leave(query: RunningQuery): void {
    if (this.queries.get(query.queryId) === query) this.queries.delete(query.queryId)
  }

  /** Answers a progress request from the progress known at present. */
  answer(queryId: string): Effect.Effect<AcceptedQuery, QueryRejected> {
    return Effect.suspend(() => {
      const query = this.queries.get(queryId)
      if (query === undefined) return unknown
      const body = QueryApi.encodeProgress({
        queryId,
        ...known(query.progress()),
        elapsedMs: Math.round(query.elapsed())
      })
      return Effect.succeed({
        payload: QueryApi.encodeAccepted(new QueryApi.QueryAccepted({ format: "application/json", queryId })),
        chunks: Stream.empty,
        final: () => body
      })
    })
  }
}

/** The plausible values of an engine's progress. */
const known = ({ fraction, rowsProcessed, totalRows }: Progress): Progress => ({
  ...(isCount(fraction) && fraction <= 1 ? { fraction } : {}),
  ...(isCount(rowsProcessed) ? { rowsProcessed } : {}),
  ...(isCount(totalRows) ? { totalRows } : {})
})

const isCount = (value: number | undefined): value is number =>
  value !== undefined && Number.isFinite(value) && value >= 0

const unknown = Effect.fail(
  new QueryRejected({
    payload: QueryApi.encodeError(
      QueryApi.queryError(
        "not_found",
        "No query with this id runs here that was accepted with progress (progressOf)"
      )
    )
  })
)

/**
 * The queries that connections share: a server provides its own.
 *
 * @category services
 * @since 0.1.0
 */
export const RunningQueries: Context.Reference<Registry> = Context.Reference(
  "dataconn/server/RunningQueries",
  { defaultValue: () => new Registry() }
)
