/**
 * The rows of a result, as a stream of values.
 *
 * **When to use**
 *
 * `client.rows(query, schema)` is a query whose result is rows. If more of the response is needed (the
 * columns of its accept, its receipt, its id to ask for its progress), use `client.query(Rows.query({ … }))`
 * for the response, and {@link fromResponse} for its rows.
 *
 * **Details**
 *
 * A stream of rows has a scope of its own: the query is sent when the stream is run, and is cancelled when
 * the stream is left or interrupted before its end. So it cannot occupy a connection by mistake, as an open
 * response in a scope does. The stream requests NDJSON with `numbers: "string"`, buffers no more than one
 * read of the connection and an incomplete row (`maxRowSize`), and releases chunks (`Chunk.release`). A
 * failure comes after the rows before it: a {@link RowError} that names the row, or the failure of the query
 * or the connection.
 *
 * **Values**
 *
 * No number loses digits. Values of types that a JavaScript number may not represent (BIGINT, HUGEINT,
 * DECIMAL …) are texts in JSON, and so are NaN and Infinity. Without a schema they stay texts; a schema
 * converts them:
 *
 * | schema | takes |
 * |---|---|
 * | `Schema.Number`, `Finite`, `Int` | numbers of all types, as long as a JavaScript number has all their digits |
 * | `Schema.BigInt` | integers |
 * | `Schema.BigDecimal` | numbers |
 * | `Schema.String` | texts as they are: of numbers of the wide types too, of UUID, INTERVAL, ENUM, TIME … |
 * | `Schema.Date`, `Schema.DateTimeUtc` | DATE and TIMESTAMP, which are in UTC, to the millisecond |
 * | {@link Timestamp} | the same to the microsecond |
 * | `Schema.Uint8Array` | BLOB |
 * | `Schema.Array`, `Schema.Struct`, `Schema.Record` | LIST, STRUCT, MAP, and JSON, with all of these inside |
 * | `Schema.NullOr` | NULL |
 *
 * A value that would lose precision, such as 2^53 + 1 as `Schema.Int` or a microsecond as `Schema.Date`, is
 * refused with row and path. So is a text as a number or a time, even with suitable characters: the type of
 * its column decides. These are the types that a schema decodes from, so `Schema.FiniteFromString` takes a
 * text, and all transformations and checks work as elsewhere.
 *
 * **Gotchas**
 *
 * An engine that does not support `numbers` sends numbers: those beyond JavaScript's become texts here, but
 * NaN is up to the engine, usually NULL. Numbers with an exponent are doubles; those in JSON that exceed
 * doubles become texts. In a union, a number goes to a member that takes numbers, if there is one, and a text
 * to one that takes texts. In JSON, and if an engine does not name its types as SQL does, the first member
 * that accepts the value has it. Infinite times and times with nanoseconds have no JavaScript equivalent;
 * take them as text. After the year 275760 there is {@link Timestamp} only.
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaParser from "effect/SchemaParser"
import * as Stream from "effect/Stream"
import * as QueryApi from "../engine/QueryApi.ts"
import * as Chunk from "../net/Chunk.ts"
import * as Limit from "../settings/Limit.ts"
import type { Query, QueryResponse } from "./Client.ts"
import type { ClientError } from "./ClientError.ts"
import { excerpt, RowError, RowMismatch } from "./RowError.ts"
import { type Row, RowReader } from "./RowReader.ts"
import * as RowTypes from "./RowTypes.ts"
import * as RowValues from "./RowValues.ts"
import { defaults } from "./Settings.ts"

export { RowError, RowErrorReason, RowMalformed, RowMismatch, RowTooLong } from "./RowError.ts"
export type { Row } from "./RowReader.ts"

/**
 * A query whose result is rows, with a fixed format. `numbers` is `"string"` by default.
 *
 * @category models
 * @since 0.1.0
 */
export interface RowsQuery extends Omit<Query, "format"> {}

/**
 * The failures of a stream of rows.
 *
 * @category errors
 * @since 0.1.0
 */
export type Failure = RowError | QueryApi.QueryError | ClientError

/**
 * Limits of a stream of rows.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options {
  /** As in the settings of a client, with the same default. */
  readonly maxRowSize?: number | undefined
}

/**
 * The schema of an instant to the microsecond.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Timestamp: Schema.instanceOf<QueryApi.Timestamp> = Schema.instanceOf(QueryApi.Timestamp, {
  expected: "a Timestamp"
})

const checks: Limit.Checks<Options> = { maxRowSize: (name, given: number) => Limit.size(name, given, 1) }

const format: QueryApi.Format = "application/x-ndjson"

/**
 * The query with the format of rows.
 *
 * @category constructors
 * @since 0.1.0
 */
export const query = (query: RowsQuery): Query => ({ numbers: "string", ...query, format })

/**
 * The rows of a response to a query made by {@link query}. It consumes the chunks of the response, which
 * belongs to its scope.
 *
 * **Example** (Rows, and what the server says of them)
 *
 * ```ts
 * import { type Client, Rows } from "dataconn"
 * import { Effect, Schema, Stream } from "effect"
 *
 * const Count = Schema.Struct({ symbol: Schema.String, n: Schema.Int })
 *
 * export const counts = Effect.fnUntraced(function* (client: Client.ClientService) {
 *   const response = yield* client.query(
 *     Rows.query({ query: "SELECT symbol, count(*) AS n FROM trades GROUP BY ALL", receipt: true })
 *   )
 *   const rows = yield* Stream.runCollect(Rows.fromResponse(response, Count))
 *   return { rows, columns: response.accepted.columns, receipt: response.receipt() }
 * }, Effect.scoped)
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromResponse: {
  (response: QueryResponse, schema?: undefined, options?: Options): Stream.Stream<Row, Failure>
  <A, R>(
    response: QueryResponse,
    schema: Schema.ConstraintDecoder<A, R>,
    options?: Options
  ): Stream.Stream<A, Failure, R>
} = <A, R>(
  response: QueryResponse,
  schema?: Schema.ConstraintDecoder<A, R>,
  options: Options = {}
): Stream.Stream<never, Failure> => {
  const { maxRowSize = defaults.maxRowSize } = Limit.settings("a stream of rows", options, checks)
  const problem = problemOf(response.accepted)
  if (problem !== undefined) return Stream.fail(problem)
  const { columns } = response.accepted
  const numbers = {
    hasDecimals: columns?.every(({ wideNumbers }) => wideNumbers !== true) !== true,
    hasJson: columns?.every(({ type }) => !/JSON/i.test(type)) !== true
  }
  const type = RowTypes.ofColumns(columns)
  return Stream.transformPull(response.chunks, (pull) =>
    Effect.sync(() => {
      const rows = read(pull, new RowReader({ maxRowSize, numbers }))
      // As the overloads declare.
      return (schema === undefined ? rows : decoded(rows, schema, type)) as Pull.Pull<Batch<never>, Failure>
    })
  )
}

const problemOf = ({
  columns = [],
  format: given
}: QueryApi.QueryAccepted): QueryApi.QueryError | undefined => {
  if (given !== format) {
    return QueryApi.queryError(
      "unsupported_format",
      `Rows are read from ${format}, and the result is ${given}`
    )
  }
  const names = new Set<string>()
  for (const { name } of columns) {
    if (names.has(name))
      return QueryApi.queryError("internal", `Two columns have the name ${JSON.stringify(name)}`)
    names.add(name)
  }
  return undefined
}

/** The number of bytes that are made into rows at a time, unless a row is longer. */
const pieceSize = 64 * 1024

/** Views of chunks, each at most one piece long. A chunk is released when the next view is requested. */
function* pieces(chunks: ReadonlyArray<Uint8Array>): Generator<Uint8Array, undefined> {
  for (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += pieceSize) yield chunk.subarray(at, at + pieceSize)
    Chunk.release(chunk)
  }
  return undefined
}

type Batch<A> = Arr.NonEmptyReadonlyArray<A>

const isBatch = <A>(values: ReadonlyArray<A>): values is Batch<A> => values.length > 0

/** Reads on only when all arrived rows have been taken. */
const read = <E>(
  pull: Pull.Pull<Batch<Uint8Array>, E>,
  reader: RowReader
): Pull.Pull<Batch<Row>, E | RowError> => {
  let come = pieces([])
  let hasEnded = false
  const taken = (): ReadonlyArray<Row> => {
    for (let size = 0; ; ) {
      const piece = come.next().value
      if (piece === undefined) return hasEnded ? reader.finish() : reader.take()
      reader.add(piece)
      size += piece.length
      if (size < pieceSize) continue
      const rows = reader.take()
      if (isBatch(rows) || reader.problem !== undefined) return rows
      size = 0
    }
  }
  const next: Pull.Pull<Batch<Row>, E | RowError> = Effect.suspend(() => {
    const rows = reader.problem === undefined ? taken() : []
    if (isBatch(rows)) return Effect.succeed(rows)
    if (reader.problem !== undefined) return Effect.fail(reader.problem)
    return hasEnded ? Cause.done() : more
  })
  const more: Pull.Pull<Batch<Row>, E | RowError> = Pull.matchEffect(pull, {
    onSuccess: (chunks) => {
      come = pieces(chunks)
      return next
    },
    onFailure: (cause) => Effect.failCause(cause),
    onDone: () => {
      hasEnded = true
      return next
    }
  })
  return next
}

/** Decodes a whole batch at once, except for a row whose schema is asynchronous, which is emitted alone. */
const decoded = <A, R, E>(
  rows: Pull.Pull<Batch<Row>, E>,
  schema: Schema.ConstraintDecoder<A, R>,
  type: RowTypes.RowType
): Pull.Pull<Batch<A>, E | RowError, void, R> => {
  const parse = SchemaParser.decodeUnknownEffect(schema)
  const values = RowValues.of(schema.ast, type)
  const decode = (row: Row | undefined): Effect.Effect<A, SchemaIssue.Issue, R> => parse(values(row))
  let batch: ReadonlyArray<Row> = []
  let at = 0
  let before = 0

  const alone = (row: ReturnType<typeof decode>): Effect.Effect<Batch<A>, RowError, R> =>
    Effect.matchEffect(row, {
      onSuccess: (value) => {
        at++
        return Effect.succeed([value] as const)
      },
      onFailure: (issue) => Effect.fail(mismatch(before + at + 1, batch[at], issue, type))
    })

  const next: Pull.Pull<Batch<A>, E | RowError, void, R> = Effect.suspend(() => {
    const done: Array<A> = []
    while (at < batch.length) {
      const row = decode(batch[at])
      if (!isDone(row)) return isBatch(done) ? Effect.succeed(done) : alone(row)
      done.push(row.value)
      at++
    }
    return isBatch(done) ? Effect.succeed(done) : more
  })

  const more: typeof next = Effect.flatMap(rows, (come) => {
    before += batch.length
    batch = come
    at = 0
    return next
  })
  return next
}

/** Whether the effect need not be run. */
const isDone = <A, E, R>(effect: Effect.Effect<A, E, R>): effect is Exit.Success<A> =>
  Exit.isExit(effect) && Exit.isSuccess(effect)

const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

/** Includes the unexpected value, unconverted. */
const mismatch = (
  number: number,
  row: Row | undefined,
  issue: SchemaIssue.Issue,
  type: RowTypes.RowType
): RowError => {
  const [first] = formatIssue(issue).issues
  const keys = (first?.path ?? []).map((key) => (typeof key === "object" ? key.key : key))
  const path = keys.map((key) => (typeof key === "number" ? key : String(key)))
  const value = path.reduce<unknown>((inner, key) => (inner as Row | undefined | null)?.[key], row)
  const given = value === undefined ? "" : `, got ${excerpt(JSON.stringify(value))}`
  const reason = RowValues.reason(value, RowTypes.at(type, path))
  const detail = `${first?.message}${given}${reason === undefined ? "" : ` (${reason})`}`
  return new RowError({ reason: new RowMismatch({ row: number, path, detail }) })
}
