/**
 * The rows of a running statement, one DuckDB chunk at a time, with a reliable end.
 */
import type { DuckDBDataChunk, DuckDBResult } from "@duckdb/node-api"
import duckdb from "@duckdb/node-bindings"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { ResultLimits } from "../Limits.ts"
import { QueryError, queryError } from "../QueryApi.ts"
import * as Failure from "./Failure.ts"
import * as Parameters from "./Parameters.ts"
import * as ResultError from "./ResultError.ts"
import type { Session } from "./Session.ts"
import * as TextSql from "./TextSql.ts"
import * as TypedSql from "./TypedSql.ts"

/** Rows of a chunk as bytes, and whether the chunk ended with the row of `Sentinel`. */
export interface Encoded {
  /** Read lazily. `undefined` stands for a few milliseconds of work without a piece yet. */
  readonly pieces: Iterator<Uint8Array<ArrayBuffer> | undefined>
  /** The number of rows, without the sentinel. */
  readonly rows: number
  readonly isLast: boolean
  /** Whether a row is larger than `maxRowSize`, so that it has not been made. */
  readonly isTooLarge: boolean
  /** Releases the chunk's memory once its pieces have been read; they stay valid. */
  readonly release: () => void
}

/** Rows yet to be made: a source, its parameters, and the session to run it in. */
export interface Rows {
  readonly session: Session
  readonly source: TextSql.Source
  readonly bound: ReadonlyArray<Parameters.Bound>
  readonly limits: ResultLimits
  /** Run once DuckDB has made all rows, before the last of them are emitted. */
  readonly read?: Effect.Effect<void, QueryError> | undefined
  /** Updated with the number of rows so far. */
  readonly counter?: Counter | undefined
}

/** The number of rows of a result so far. */
export interface Counter {
  rows: number
}

/** Turns of the event loop that a ready chunk of DuckDB takes to arrive: some 50 µs. */
const patientTurns = 8

/** A shorter chunk counts as one of this length, because DuckDB holds more for it than its text. */
const minChunkBytes = 128 * 1024

/** Pieces of a chunk are emitted together up to this many bytes. */
const batchBytes = 512 * 1024

/**
 * Runs `sql` and encodes its chunks as they are pulled.
 *
 * **Details**
 *
 * The statement starts with the first pull. A bounded number of chunks is fetched ahead, so a stalled reader
 * stalls the query too. The stream ends only after the sentinel. Otherwise it fails with `execution_failed`
 * or a more exact code. It also fails if a result exceeds `maxResultRows` or `maxRowSize`; the message names
 * the limit. Interruption interrupts DuckDB.
 */
export const run = (
  rows: Rows,
  sql: string,
  encode: (chunk: DuckDBDataChunk) => Encoded
): Stream.Stream<Uint8Array<ArrayBuffer>, QueryError> =>
  Stream.fromPull(
    Effect.sync(() => {
      const statement = { sql, bound: rows.bound, source: rows.source }
      let current: Encoded | undefined
      let ahead: Ahead | undefined
      const { share } = rows.session
      let chunkBytes = share.aheadBytes
      let bytes = 0
      let count = 0
      return Effect.gen(function* () {
        while (true) {
          if (current !== undefined) {
            const { isPaused, pieces } = yield* batch(current.pieces)
            for (const piece of pieces) chunkBytes += piece.length
            if (isNonEmpty(pieces)) return pieces
            if (isPaused) {
              yield* Effect.yieldNow
              continue
            }
            current.release()
            if (current.isLast) return yield* Cause.done()
            bytes += chunkBytes
            share.made(count, bytes)
            if (ahead !== undefined)
              ahead.limit = Math.ceil(share.aheadBytes / Math.max(chunkBytes, minChunkBytes))
          }
          ahead ??= new Ahead(rows.session, yield* start(rows.session, statement))
          const chunk = yield* Effect.catch(ahead.take, TextSql.failed(rows.source, sql))
          if (chunk === undefined) return yield* ahead.failed(rows.source, sql)
          current = encode(chunk)
          count += current.rows
          if (rows.counter !== undefined) rows.counter.rows = count
          if (current.isTooLarge) {
            return yield* queryError("execution_failed", TypedSql.tooLargeMessage(rows.limits))
          }
          const excess = excessRows(count, rows.limits)
          if (excess !== undefined) return yield* excess
          if (current.isLast && rows.read !== undefined) yield* rows.read
          chunkBytes = 0
        }
      })
    })
  )

/** The error for a result with more rows than `maxResultRows`. */
export const excessRows = (
  rows: number,
  { maxResultRows }: Pick<ResultLimits, "maxResultRows">
): QueryError | undefined =>
  rows > maxResultRows
    ? queryError(
        "execution_failed",
        `The result has more than ${maxResultRows} rows (maxResultRows); it is incomplete`
      )
    : undefined

/** Pieces that are available without much work. */
interface Batch {
  readonly pieces: Array<Uint8Array<ArrayBuffer>>
  /** Whether there is more work, which should begin only in another turn of the event loop. */
  readonly isPaused: boolean
}

/** Fails if the pieces throw a `QueryError`. */
const batch = (pieces: Encoded["pieces"]): Effect.Effect<Batch, QueryError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(take(pieces))
    } catch (error) {
      return error instanceof QueryError ? Effect.fail(error) : Effect.die(error)
    }
  })

const take = (pieces: Encoded["pieces"]): Batch => {
  const taken: Array<Uint8Array<ArrayBuffer>> = []
  for (let bytes = 0; bytes < batchBytes; ) {
    const piece = pieces.next()
    if (piece.done === true) break
    if (piece.value === undefined) return { pieces: taken, isPaused: true }
    taken.push(piece.value)
    bytes += piece.value.length
  }
  return { pieces: taken, isPaused: false }
}

const isNonEmpty = <A>(list: Array<A>): list is [A, ...Array<A>] => list.length > 0

/**
 * DuckDB 1.5's message for an error in a thread of its own, for rows without batches (`range`, `GROUP BY`,
 * joins), if the fetching thread finds itself stopped before it finds the error (the README says where). A
 * Parquet file is no stream, and its error is never lost.
 */
const interrupted = "INTERRUPT"

/** The failure of a result that ended without one. */
const lost: Failure.Failure = { type: interrupted, message: "", offset: undefined }

const unknown = queryError(
  "execution_failed",
  "The query failed while it ran, and DuckDB, on several threads, lost the reason; as Parquet it would tell it"
)

/** Chunks of a result, fetched ahead of demand. */
class Ahead {
  private readonly session: Session
  private readonly result: DuckDBResult
  private readonly chunks: Array<DuckDBDataChunk> = []
  /** How many chunks may wait. */
  limit = 1
  private fetching = false
  /** DuckDB has ended the result, with its failure if any. */
  private ended: { readonly failure: unknown } | undefined
  private arrived: () => void = () => {}

  constructor(session: Session, result: DuckDBResult) {
    this.session = session
    this.result = result
    // The garbage collector does not know how large this memory is.
    session.onClose(() => {
      for (const chunk of this.chunks.splice(0)) duckdb.data_chunk_reset(chunk.chunk)
    })
  }

  /** The next chunk, or `undefined` when there are no more. */
  readonly take: Effect.Effect<DuckDBDataChunk | undefined, Failure.Failure> = Effect.suspend(() => {
    // The call itself is not awaited: each chunk signals its arrival.
    if (!this.fetching && this.ended === undefined) void this.session.begin(() => this.fetch())
    if (this.chunks.length > 0) {
      return Effect.map(this.fetching ? this.drained : Effect.void, () => this.chunks.shift())
    }
    if (this.ended !== undefined) {
      const { failure } = this.ended
      return failure === undefined ? Effect.undefined : Effect.fail(Failure.fromCause(failure))
    }
    const arrival = new Promise<void>((resolve) => {
      this.arrived = resolve
    })
    return Effect.andThen(this.session.wait(arrival), this.take)
  })

  /** The reason why there are no more chunks before the sentinel. */
  failed(source: TextSql.Source, sql: string): Effect.Effect<never, QueryError> {
    return Effect.flatMap(
      Effect.promise(() => ResultError.of(this.result)),
      (error) => {
        const failure = error === undefined ? lost : Failure.fromCause(error)
        return Effect.catch(this.session.failed(failure), (failure) =>
          failure.type === interrupted ? Effect.fail(unknown) : TextSql.failed(source, sql)(failure)
        )
      }
    )
  }

  /** Waits turns of the event loop as long as chunks arrive at once. */
  private readonly drained: Effect.Effect<void> = Effect.callback<void>((resume) => {
    let seen = this.chunks.length
    let patience = patientTurns
    const look = () => {
      patience = this.chunks.length > seen ? patientTurns : patience - 1
      seen = this.chunks.length
      if (this.fetching && patience > 0) turn = setImmediate(look)
      else resume(Effect.void)
    }
    let turn = setImmediate(look)
    return Effect.sync(() => clearImmediate(turn))
  })

  /** One call for the session, which ends when enough chunks are there. */
  private async fetch(): Promise<void> {
    this.fetching = true
    while (this.ended === undefined && this.chunks.length < this.limit) {
      try {
        const chunk = await this.result.fetchChunk()
        if (chunk === null || chunk.rowCount === 0) this.ended = { failure: undefined }
        else this.chunks.push(chunk)
      } catch (cause) {
        this.ended = { failure: cause }
      }
      this.arrived()
    }
    this.fetching = false
  }
}

const start = (session: Session, statement: BoundSql): Effect.Effect<DuckDBResult, QueryError> =>
  Effect.catch(
    session.call(async (connection) => {
      const result = await Parameters.stream(connection, statement)
      session.own(result)
      return result
    }),
    TextSql.failed(statement.source, statement.sql)
  )

interface BoundSql {
  readonly sql: string
  readonly bound: ReadonlyArray<Parameters.Bound>
  readonly source: TextSql.Source
}
