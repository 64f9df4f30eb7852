/**
 * How far a query is that runs: the request that asks for it, and the answer (PROTOCOL.md §3).
 */
import { Buffer } from "node:buffer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as JsonBody from "./JsonBody.ts"
import { maxQueryIdLength, type QueryError, queryError } from "./QueryBodies.ts"

/**
 * How far a query is that runs. `fraction` is from 0 to 1. It and the rows, which are the engine's own account, are
 * there where the engine knows them. `elapsedMs` is in milliseconds from the arrival of the query.
 *
 * @category schemas
 * @since 0.1.0
 */
export const QueryProgress = Schema.Struct({
  queryId: Schema.String,
  fraction: Schema.optional(Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))),
  rowsProcessed: Schema.optional(Schema.Finite),
  totalRows: Schema.optional(Schema.Finite),
  elapsedMs: Schema.Finite
})
/**
 * How far a query is that runs.
 *
 * @category schemas
 * @since 0.1.0
 */
export type QueryProgress = typeof QueryProgress.Type

/** Longer requests ask for something else, and are not looked into. In bytes. */
export const maxProgressRequest = 16 * 1024

const field = "progressOf"

/**
 * The `queryId` that a request asks about, if it asks for the progress of a query. `Engine.progressOf` of engines that
 * speak the v1 query API.
 *
 * @category decoding
 * @since 0.1.0
 */
export const progressOf = (request: Uint8Array): string | undefined => {
  if (request.length > maxProgressRequest) return undefined
  if (!Buffer.from(request.buffer, request.byteOffset, request.length).includes(`"${field}"`))
    return undefined
  const body = Result.getOrUndefined(JsonBody.parse(request)) as Readonly<Record<string, unknown>> | undefined
  if (body?.["version"] !== "v1" || body["query"] !== "") return undefined
  const queryId = body[field]
  return typeof queryId === "string" && queryId.length <= maxQueryIdLength ? queryId : undefined
}

/**
 * Encodes the request that asks how far a query is. Its query is empty: a server that knows nothing of this rejects it.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encodeProgressRequest = (queryId: string): Uint8Array =>
  JsonBody.encode({ version: "v1", query: "", [field]: queryId })

/**
 * Encodes the answer.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encodeProgress = (progress: QueryProgress): Uint8Array => JsonBody.encode(progress)

const decodeProgressJson = Schema.decodeUnknownResult(QueryProgress)

/**
 * Decodes the answer. A body that is none fails with a {@link QueryError} of code `internal`: the server is at fault.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decodeProgress = (payload: Uint8Array): Result.Result<QueryProgress, QueryError> =>
  JsonBody.parse(payload).pipe(
    Result.flatMap((body) => Result.mapError(decodeProgressJson(body), JsonBody.describe)),
    Result.mapError((reason) =>
      queryError("internal", `The server sent an undecodable account of the progress: ${reason}`)
    )
  )
