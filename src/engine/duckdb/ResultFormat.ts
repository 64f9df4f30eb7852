/**
 * Rows in each of the formats of the v1 query API.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { type Format, type Numbers, type QueryError, queryError } from "../QueryApi.ts"
import * as ArrowStream from "./ArrowStream.ts"
import * as ArrowVectors from "./ArrowVectors.ts"
import * as JsonText from "./JsonText.ts"
import * as ParquetStream from "./ParquetStream.ts"
import type { ResultFiles } from "./ResultFiles.ts"
import * as ResultStream from "./ResultStream.ts"
import * as TextSql from "./TextSql.ts"
import * as TextStream from "./TextStream.ts"
import * as TypedSql from "./TypedSql.ts"

type Bytes = Stream.Stream<Uint8Array, QueryError>

/**
 * Runs the rows' query when the stream is first pulled, and encodes its rows, up to `maxResultBytes`.
 *
 * **Details**
 *
 * JSON and NDJSON have one object for each row. CSV is RFC 4180 with CRLF and a header: an empty field is
 * NULL and a quoted empty one is the empty string. Arrow and Parquet keep DuckDB's types where they have
 * counterparts; the others are sent as the text that DuckDB prints.
 */
export const encode = (rows: ResultStream.Rows, shape: Shape, files: ResultFiles): Bytes =>
  limited(encodeAll(rows, shape, files), rows.limits.maxResultBytes)

/** A request's choice of format and numbers. */
export interface Shape {
  readonly format: Format
  readonly numbers: Numbers
}

/** Fails if a result exceeds a number of bytes. */
const limited = (result: Bytes, maxResultBytes: number): Bytes => {
  if (maxResultBytes === Number.POSITIVE_INFINITY) return result
  const message = `The result has more than ${maxResultBytes} bytes (maxResultBytes); it is incomplete`
  return Stream.suspend(() => {
    let bytes = 0
    return Stream.mapEffect(result, (chunk) => {
      bytes += chunk.length
      return bytes > maxResultBytes
        ? Effect.fail(queryError("execution_failed", message))
        : Effect.succeed(chunk)
    })
  })
}

const encodeAll = (rows: ResultStream.Rows, { format, numbers }: Shape, files: ResultFiles): Bytes => {
  switch (format) {
    case "application/json":
      return asArray(ResultStream.run(rows, TextSql.json(rows, numbers), objects(rows, numbers)))
    case "application/x-ndjson":
      return ResultStream.run(rows, TextSql.ndjson(rows, numbers), objects(rows, numbers))
    case "text/csv":
      return withHeader(
        TextSql.csvHeader(rows.source.columns),
        ResultStream.run(rows, TextSql.csv(rows), TextStream.encoder(undefined))
      )
    case "application/vnd.apache.arrow.stream":
      return arrow(rows)
    case "application/vnd.apache.parquet":
      return ParquetStream.run(rows, files)
  }
}

const objects = (rows: ResultStream.Rows, numbers: Numbers) =>
  TextStream.encoder(JsonText.suspicion(rows.source.columns.map(({ type }) => type)), numbers)

/**
 * Sends the header with the first rows, so that nothing has been sent for a query that fails
 * before it has any.
 */
const withHeader = (header: string, rows: Bytes): Bytes =>
  Stream.suspend(() => {
    const bytes: Uint8Array = Buffer.from(header)
    let isMade = false
    return Stream.concat(
      Stream.mapArray(rows, (pieces) => {
        if (isMade) return pieces
        isMade = true
        return [bytes, ...pieces]
      }),
      Stream.suspend(() => (isMade ? Stream.empty : Stream.make(bytes)))
    )
  })

const openBracket = 0x5b

/** Joins rows that each begin with a comma to one array: its bracket replaces the first comma. */
const asArray = (rows: Bytes): Bytes =>
  Stream.suspend(() => {
    let empty = true
    return Stream.concat(
      Stream.map(rows, (bytes) => {
        if (empty) bytes[0] = openBracket
        empty = false
        return bytes
      }),
      Stream.sync(() => Buffer.from(empty ? "[]" : "]"))
    )
  })

const arrow = (rows: ResultStream.Rows): Bytes =>
  Stream.unwrap(
    Effect.map(Effect.promise(ArrowStream.load), (library) =>
      Stream.concat(
        ResultStream.run(
          rows,
          TypedSql.weighed(rows, ArrowVectors.rename),
          ArrowStream.encoder(
            library,
            rows.source.columns.map(({ name }) => name)
          )
        ),
        Stream.sync(() => ArrowStream.endOfStream.slice())
      )
    )
  )
