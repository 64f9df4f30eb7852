/**
 * The rows of a running statement, one DuckDB chunk at a time, with a certain end.
 */
import type { DuckDBDataChunk, DuckDBResult } from "@duckdb/node-api"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { type QueryError, queryError } from "../QueryApi.ts"
import * as Failure from "./Failure.ts"
import * as Parameters from "./Parameters.ts"
import type { Session } from "./Session.ts"
import { columnsOf } from "./Statement.ts"
import type { ResultColumn, Source } from "./TextSql.ts"

/** Rows of a chunk as bytes, and whether the chunk ended with the row of `Sentinel`. */
export interface Encoded {
  /** Read lazily, and before the next chunk is fetched. */
  readonly pieces: Iterator<Uint8Array<ArrayBuffer>>
  readonly isLast: boolean
  /** Gives the chunk's memory back once its pieces have been read; they stay valid. */
  readonly release: () => void
}

/** Rows yet to be made: a source, the parameters in it, and the session to run it in. */
export interface Rows {
  readonly session: Session
  readonly source: Source
  readonly bound: ReadonlyArray<Parameters.Bound>
}

/** How long the search for a failed stream's error may take, in milliseconds. */
const diagnosisMs = 5_000

/**
 * Runs `sql` and encodes its chunks as they are pulled.
 *
 * **Details**
 *
 * The statement starts with the first pull. One chunk is fetched ahead and no more, so a reader that stalls
 * stalls the query too. The stream ends only if the sentinel came; it fails with `execution_failed`
 * or a code more exact otherwise. Interruption interrupts DuckDB.
 */
export const run = (
  { session, bound }: Rows,
  sql: string,
  encode: (chunk: DuckDBDataChunk) => Encoded
): Stream.Stream<Uint8Array<ArrayBuffer>, QueryError> =>
  Stream.fromPull(
    Effect.sync(() => {
      let current: Encoded | undefined
      let next: Effect.Effect<DuckDBDataChunk | undefined, Failure.Failure> | undefined
      let result: DuckDBResult | undefined

      /** DuckDB computes only while a fetch is under way, so there always is one, of a single chunk. */
      const fetchAhead = (result: DuckDBResult) => session.begin(() => fetch(result))

      return Effect.gen(function* () {
        while (true) {
          const piece = current?.pieces.next()
          if (piece?.done === false) return [piece.value] as const
          current?.release()
          if (current?.isLast) return yield* Cause.done()
          result ??= yield* start(session, { sql, bound })
          next ??= fetchAhead(result)
          const chunk = yield* Effect.mapError(next, Failure.toError)
          if (chunk === undefined)
            return yield* Effect.flatMap(diagnose(session, { sql, bound }), Effect.fail)
          current = encode(chunk)
          next = current.isLast ? undefined : fetchAhead(result)
        }
      })
    })
  )

const start = (session: Session, statement: BoundSql): Effect.Effect<DuckDBResult, QueryError> =>
  Effect.mapError(
    session.call((connection) => Parameters.stream(connection, statement)),
    Failure.toError
  )

interface BoundSql {
  readonly sql: string
  readonly bound: ReadonlyArray<Parameters.Bound>
}

/** The columns that `sql` has, without running it. */
export const columns = (
  { session, bound }: Rows,
  sql: string
): Effect.Effect<ReadonlyArray<ResultColumn>, QueryError> =>
  Effect.mapError(
    Effect.map(
      session.call((connection) =>
        Parameters.stream(connection, { sql: `SELECT * FROM (${sql}) LIMIT 0`, bound })
      ),
      columnsOf
    ),
    Failure.toError
  )

const fetch = async (result: DuckDBResult): Promise<DuckDBDataChunk | undefined> => {
  const chunk = await result.fetchChunk()
  return chunk === null || chunk.rowCount === 0 ? undefined : chunk
}

/**
 * Why a stream stopped early. The bindings keep that to themselves for a stream, but not for a statement
 * that runs in one go, so the query runs again as an aggregate of all its text.
 */
const diagnose = (session: Session, statement: BoundSql): Effect.Effect<QueryError> => {
  const again = session.call((connection) =>
    Parameters.run(connection, { ...statement, sql: `SELECT bit_xor(hash(r)) FROM (${statement.sql}) AS r` })
  )
  const unknown = queryError("execution_failed", "The query failed while it ran; DuckDB did not say why")
  return Effect.match(Effect.timeoutOption(Effect.andThen(session.restart, again), diagnosisMs), {
    onSuccess: () => unknown,
    onFailure: Failure.toError
  })
}
