/** Validation of an accept for the query that was sent. */
import * as Result from "effect/Result"
import * as QueryApi from "../engine/QueryApi.ts"
import type { Query } from "./Client.ts"

/**
 * Decodes the accept of a query. An accept that cannot be decoded, or has another format than the query,
 * fails with a `QueryError` of code `internal`: the server is at fault.
 */
export const decode = (
  payload: Uint8Array,
  { format = QueryApi.defaultFormat }: Query
): Result.Result<QueryApi.QueryAccepted, QueryApi.QueryError> =>
  Result.flatMap(QueryApi.decodeAccepted(payload), (accepted) =>
    accepted.format === format ? Result.succeed(accepted) : Result.fail(otherFormat(accepted.format, format))
  )

const otherFormat = (given: QueryApi.Format, asked: QueryApi.Format): QueryApi.QueryError =>
  QueryApi.queryError(
    "internal",
    `The server accepted the query with the format ${given}, but ${asked} was asked for; it was cancelled`
  )
