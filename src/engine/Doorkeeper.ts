/**
 * Admission control in front of an engine that runs elsewhere, where the `admit` function cannot go.
 */
import { Buffer } from "node:buffer"
import * as Effect from "effect/Effect"
import * as Given from "./Given.ts"
import * as Limits from "./Limits.ts"
import { decodeRequest, Format, type QueryRequest } from "./QueryBodies.ts"
import { type Engine, QueryRejected } from "./QueryEngine.ts"
import { encodeError, type QueryError, queryError, queryErrorOf } from "./QueryErrorBody.ts"
import * as ResolvedRequest from "./ResolvedRequest.ts"

/** Decides whether a request is admitted; see `QueryApi.makeEngine`. */
export type Admit = (request: ResolvedRequest.ResolvedRequest) => Effect.Effect<void, QueryError>

const formats: ReadonlySet<Format> = new Set(Format.literals)

/**
 * The engine, which gets only admitted requests. It answers v1 requests within these limits. An undecodable
 * request is rejected, since its caller is unknown. Throws a `RangeError` that names an invalid limit.
 */
export const before = (engine: Engine, admit: Admit, given?: Limits.Options): Engine => {
  const limits = Limits.make(given)
  const admitted = Effect.fnUntraced(function* (body: Uint8Array): Effect.fn.Return<Uint8Array, QueryError> {
    const request = yield* Effect.fromResult(decodeRequest(body, formats, limits))
    const resolved = yield* ResolvedRequest.of(request)
    const asked = Given.effect("admit", admit(resolved))
    yield* resolved.timeout === undefined
      ? asked
      : Effect.timeoutOrElse(asked, { duration: resolved.timeout, orElse: () => Effect.fail(timedOut) })
    return named(body, request, resolved.queryId)
  })
  return {
    ...engine,
    init: (body) =>
      Effect.flatMap(
        Effect.mapError(
          admitted(body),
          (error) => new QueryRejected({ payload: encodeError(queryErrorOf(error)) })
        ),
        (body) => engine.init(body)
      )
  }
}

const timedOut = queryError("timeout", "Who asks was not admitted within the request's timeoutMs")

/** The request with the `queryId` that was assigned here. */
const named = (body: Uint8Array, { queryId }: QueryRequest, id: string): Uint8Array => {
  if (queryId !== undefined) return body
  const at = body.indexOf(openingBrace) + 1
  return Buffer.concat([
    body.subarray(0, at),
    Buffer.from(`"queryId":${JSON.stringify(id)},`),
    body.subarray(at)
  ])
}

const openingBrace = 0x7b
