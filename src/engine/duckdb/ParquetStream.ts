/**
 * A result as a Parquet file.
 *
 * Parquet's index comes last and its row groups are large, so the file is written to a private directory
 * first and streamed from there. The rows travel through `Staging`, because the served instance may not
 * write files.
 */
import { createReadStream } from "node:fs"
import { rm } from "node:fs/promises"
import { join } from "node:path"
import { type DuckDBDataChunk, DuckDBTypeId } from "@duckdb/node-api"
import duckdb from "@duckdb/node-bindings"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { type QueryError, queryError } from "../QueryApi.ts"
import * as Failure from "./Failure.ts"
import * as ResultStream from "./ResultStream.ts"
import * as Sql from "./Sql.ts"
import * as Staging from "./Staging.ts"
import type { Steps } from "./Steps.ts"
import * as TextSql from "./TextSql.ts"
import type * as Types from "./Types.ts"
import * as Validity from "./Validity.ts"

/**
 * Parquet, as DuckDB writes it, has no 128-bit integers (they would become DOUBLE), no offsets in times, no
 * microseconds in intervals and no unions: these would be changed silently. DECIMAL(38, 0) fails on the few
 * HUGEINTs that it cannot hold.
 */
const rename: Types.Rename = (type) => {
  switch (type.typeId) {
    case DuckDBTypeId.HUGEINT:
      return "DECIMAL(38,0)"
    case DuckDBTypeId.UHUGEINT:
    case DuckDBTypeId.BIGNUM:
    case DuckDBTypeId.TIME_TZ:
    case DuckDBTypeId.INTERVAL:
    case DuckDBTypeId.UNION:
    case DuckDBTypeId.VARIANT:
      return "VARCHAR"
    default:
      return undefined
  }
}

/** Bytes of a file that are read at once. */
const readBytes = 256 * 1024

/** The number of files made so far, which names the next one. */
let files = 0

/** Runs a query into a file and streams that; the file is gone when the stream has ended in any way. */
export const run = (
  rows: ResultStream.Rows,
  staging: Staging.Staging
): Stream.Stream<Uint8Array, QueryError> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const { session, source } = yield* stage(rows, staging)
      const path = join(staging.directory, `${files++}.parquet`)
      yield* Effect.addFinalizer(() => Effect.promise(() => rm(path, { force: true })))
      yield* Effect.mapError(
        session.call((connection) =>
          connection.run(`COPY (${source.sql}) TO ${Sql.literal(path)} (FORMAT parquet)`)
        ),
        Failure.toError
      )
      return Stream.fromAsyncIterable(
        createReadStream(path, { highWaterMark: readBytes }) as AsyncIterable<Uint8Array>,
        (cause) => queryError("internal", `The Parquet file could not be read back: ${String(cause)}`)
      )
    })
  )

/** Copies the rows to where files may be written. */
const stage = Effect.fnUntraced(function* (rows: ResultStream.Rows, staging: Staging.Staging) {
  const columns = yield* ResultStream.columns(rows, TextSql.typed(rows, rename))
  const named = columns.slice(0, -2).map(({ type }, index) => ({
    name: (rows.source.columns[index] as TextSql.ResultColumn).name,
    type
  }))
  const table = yield* Effect.mapError(Staging.table(staging, named, true), Failure.toError)
  yield* Stream.runDrain(
    ResultStream.run(rows, TextSql.typed(rows, rename), (chunk) => {
      const { isLast, isTooLarge } = sentinelOf(chunk)
      return {
        pieces: appending(table, chunk),
        rows: isLast ? chunk.rowCount - 1 : chunk.rowCount,
        isLast,
        isTooLarge,
        release: () => duckdb.data_chunk_reset(chunk.chunk)
      }
    })
  )
  return { session: table.session, source: yield* table.finish }
})

function* appending(table: Staging.Table, chunk: DuckDBDataChunk): Steps<void> {
  table.append(chunk)
  yield
}

const sentinelOf = (chunk: DuckDBDataChunk) => {
  const rows = chunk.rowCount
  const sentinel = duckdb.data_chunk_get_vector(chunk.chunk, chunk.columnCount - 2)
  return {
    isLast: duckdb.vector_get_data(sentinel, rows)[rows - 1] === 1,
    isTooLarge: Validity.firstNull(sentinel, rows) < rows
  }
}
