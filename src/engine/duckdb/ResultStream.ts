/**
 * The rows of a running statement, one DuckDB chunk at a time, with a certain end.
 */
import type { DuckDBDataChunk, DuckDBResult } from "@duckdb/node-api"
import duckdb from "@duckdb/node-bindings"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { ResultLimits } from "../Limits.ts"
import { QueryError, queryError } from "../QueryApi.ts"
import * as Columns from "./Columns.ts"
import * as Failure from "./Failure.ts"
import * as Parameters from "./Parameters.ts"
import type { Session } from "./Session.ts"
import type { ResultColumn, Source } from "./TextSql.ts"

/** Rows of a chunk as bytes, and whether the chunk ended with the row of `Sentinel`. */
export interface Encoded {
  /** Read lazily. `undefined` stands for a few milliseconds of work that have not led to a piece. */
  readonly pieces: Iterator<Uint8Array<ArrayBuffer> | undefined>
  /** How many rows it has, the sentinel not counted. */
  readonly rows: number
  readonly isLast: boolean
  /** Whether a row is larger than `maxRowSize`, so that it has not been made. */
  readonly isTooLarge: boolean
  /** Gives the chunk's memory back once its pieces have been read; they stay valid. */
  readonly release: () => void
}

/** Rows yet to be made: a source, the parameters in it, and the session to run it in. */
export interface Rows {
  readonly session: Session
  readonly source: Source
  readonly bound: ReadonlyArray<Parameters.Bound>
  readonly limits: ResultLimits
}

/** How long the search for a failed stream's error may take, in milliseconds. */
const diagnosisMs = 5_000

/**
 * DuckDB goes on computing only once its own buffer has been emptied, so chunks are taken out of it as soon
 * as they are there. This many bytes may wait to be encoded, by the length of the last chunk: about what the
 * buffer holds.
 */
const aheadBytes = 16 * 1024 * 1024

/** Turns of the event loop that a chunk takes to arrive if DuckDB has it ready: some 50 µs. */
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
 * The statement starts with the first pull. A bounded number of chunks is fetched ahead, so a reader that
 * stalls stalls the query too. The stream ends only if the sentinel came; it fails with `execution_failed`
 * or a code more exact otherwise, also where a result exceeds `maxResultRows` or `maxRowSize`, which the
 * message names. Interruption interrupts DuckDB.
 */
export const run = (
  rows: Rows,
  sql: string,
  encode: (chunk: DuckDBDataChunk) => Encoded
): Stream.Stream<Uint8Array<ArrayBuffer>, QueryError> =>
  Stream.fromPull(
    Effect.sync(() => {
      const statement = { sql, bound: rows.bound }
      let current: Encoded | undefined
      let ahead: Ahead | undefined
      let chunkBytes = aheadBytes
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
          }
          ahead ??= new Ahead(rows.session, yield* start(rows.session, statement))
          const chunk = yield* Effect.mapError(ahead.take, Failure.toError)
          if (chunk === undefined)
            return yield* Effect.flatMap(diagnose(rows.session, statement), Effect.fail)
          current = encode(chunk)
          count += current.rows
          const excess = excessOf(current, count, rows.limits)
          if (excess !== undefined) return yield* queryError("execution_failed", excess)
          ahead.limit = Math.ceil(aheadBytes / Math.max(chunkBytes, minChunkBytes))
          chunkBytes = 0
        }
      })
    })
  )

/** How a result exceeds its limits with this chunk, after which it has `rows`. */
const excessOf = (chunk: Encoded, rows: number, limits: ResultLimits): string | undefined => {
  if (chunk.isTooLarge) {
    return `A row is larger than ${limits.maxRowSize} bytes (maxRowSize); the result is incomplete`
  }
  return rows > limits.maxResultRows
    ? `The result has more than ${limits.maxResultRows} rows (maxResultRows); it is incomplete`
    : undefined
}

/** Pieces that are there without much work. */
interface Batch {
  readonly pieces: Array<Uint8Array<ArrayBuffer>>
  /** Whether there is more work, which should not begin before the event loop has turned. */
  readonly isPaused: boolean
}

/** Fails where the pieces throw a `QueryError`. */
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

/** Chunks of a result that are fetched before they are asked for. */
class Ahead {
  private readonly session: Session
  private readonly result: DuckDBResult
  private readonly chunks: Array<DuckDBDataChunk> = []
  /** How many chunks may wait. */
  limit = 1
  private fetching = false
  /** DuckDB gives no more, for this reason if it gave one. */
  private ended: { readonly failure: unknown } | undefined
  private arrived: () => void = () => {}

  constructor(session: Session, result: DuckDBResult) {
    this.session = session
    this.result = result
    // The garbage collector does not know how much there is to gain.
    session.onClose(() => {
      for (const chunk of this.chunks.splice(0)) duckdb.data_chunk_reset(chunk.chunk)
    })
  }

  /** The next chunk, or `undefined` when there are no more. */
  readonly take: Effect.Effect<DuckDBDataChunk | undefined, Failure.Failure> = Effect.suspend(() => {
    // Nobody waits for the call itself: each chunk tells when it has arrived.
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

  /** Turns of the event loop, in which chunks arrive, for as long as they do so at once. */
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

  /** One call for the session, which ends when enough is there. */
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
  { bound, limits, session }: Rows,
  sql: string
): Effect.Effect<ReadonlyArray<ResultColumn>, QueryError> =>
  Effect.flatMap(
    Effect.mapError(
      session.call((connection) =>
        Parameters.stream(connection, { sql: `SELECT * FROM (${sql}) LIMIT 0`, bound })
      ),
      Failure.toError
    ),
    // `TextSql.typed` has two more.
    (result) => Columns.ofResult(result, { ...limits, maxColumns: limits.maxColumns + 2 })
  )

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
