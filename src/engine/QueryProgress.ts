/**
 * The progress of a running query: the request for it, and the answer (PROTOCOL.md §3).
 */
import { Buffer } from "node:buffer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as JsonBody from "./JsonBody.ts"
import { maxQueryIdLength, type QueryError, queryError } from "./QueryBodies.ts"

/**
 * The progress of a running query. `fraction` is from 0 to 1. `fraction` and the rows, which are the
 * engine's own count, are present if the engine knows them. `elapsedMs` is in milliseconds from the
 * arrival of the query.
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
 * The progress of a running query.
 *
 * @category schemas
 * @since 0.1.0
 */
export type QueryProgress = typeof QueryProgress.Type

/** Longest request for progress, in bytes. Longer requests are not inspected. */
export const maxProgressRequest = 16 * 1024

const field = "progressOf"

/**
 * The `queryId` in a request for progress; `undefined` for other requests. This is `Engine.progressOf` of
 * engines that speak the v1 query API.
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
 * Encodes a request for the progress of a query. Its `query` is empty, so that a server without this
 * feature rejects it.
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
 * Decodes the answer. Any other body fails with a {@link QueryError} of code `internal`: the
 * server is at fault.
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
