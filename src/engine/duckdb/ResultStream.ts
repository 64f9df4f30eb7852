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

/** Rows of a chunk as bytes, and whether the chunk ended with the sentinel of `TextSql`. */
export interface Encoded {
  /** Read lazily, and before the next chunk is fetched. */
  readonly pieces: Iterator<Uint8Array<ArrayBuffer>>
  readonly isLast: boolean
  /** Gives the chunk's memory back; its pieces stay valid. */
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
 * Nothing is fetched before it is asked for, so a reader that stalls stalls the query too. The statement
 * starts with the first pull. The stream ends only if the sentinel came; it fails with `execution_failed`
 * or a code more exact otherwise. Interruption interrupts DuckDB.
 */
export const run = (
  { session, bound }: Rows,
  sql: string,
  encode: (chunk: DuckDBDataChunk) => Encoded
): Stream.Stream<Uint8Array<ArrayBuffer>, QueryError> =>
  Stream.fromPull(
    Effect.sync(() => {
      let result: DuckDBResult | undefined
      let current: Encoded | undefined
      let ended = false

      const nextPiece = (): Uint8Array<ArrayBuffer> | undefined => {
        if (current === undefined) return undefined
        const next = current.pieces.next()
        if (!next.done) return next.value
        ended = current.isLast
        current.release()
        current = undefined
        return undefined
      }

      return Effect.gen(function* () {
        while (true) {
          const piece = nextPiece()
          if (piece !== undefined) return [piece] as const
          if (ended) return yield* Cause.done()
          result ??= yield* Effect.mapError(
            session.call((connection) => Parameters.stream(connection, { sql, bound })),
            Failure.toError
          )
          const chunk = yield* Effect.mapError(fetch(session, result), Failure.toError)
          if (chunk === undefined)
            return yield* Effect.flatMap(diagnose(session, { sql, bound }), Effect.fail)
          current = encode(chunk)
        }
      })
    })
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

const fetch = (session: Session, result: DuckDBResult) =>
  session.call(async () => {
    const chunk = await result.fetchChunk()
    return chunk === null || chunk.rowCount === 0 ? undefined : chunk
  })

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
