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
  /** Read lazily. */
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
 * or a code more exact otherwise. Interruption interrupts DuckDB.
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
      return Effect.gen(function* () {
        while (true) {
          if (current !== undefined) {
            const pieces = batch(current.pieces)
            for (const piece of pieces) chunkBytes += piece.length
            if (isNonEmpty(pieces)) return pieces
            current.release()
            if (current.isLast) return yield* Cause.done()
          }
          ahead ??= new Ahead(rows.session, yield* start(rows.session, statement))
          const chunk = yield* Effect.mapError(ahead.take, Failure.toError)
          if (chunk === undefined)
            return yield* Effect.flatMap(diagnose(rows.session, statement), Effect.fail)
          current = encode(chunk)
          ahead.limit = Math.ceil(aheadBytes / Math.max(chunkBytes, minChunkBytes))
          chunkBytes = 0
        }
      })
    })
  )

const batch = (pieces: Iterator<Uint8Array<ArrayBuffer>>): Array<Uint8Array<ArrayBuffer>> => {
  const taken: Array<Uint8Array<ArrayBuffer>> = []
  for (let bytes = 0; bytes < batchBytes; ) {
    const piece = pieces.next()
    if (piece.done === true) break
    taken.push(piece.value)
    bytes += piece.value.length
  }
  return taken
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
