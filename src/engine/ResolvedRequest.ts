/**
 * A request of the v1 API with its defaults filled in.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Metadata from "./Metadata.ts"
import {
  defaultFormat,
  type Format,
  type Numbers,
  type Parameters,
  type QueryRequest
} from "./QueryBodies.ts"

/**
 * The input of a v1 engine: a request with its defaults filled in.
 *
 * @category models
 * @since 0.1.0
 */
export interface ResolvedRequest {
  readonly query: string
  readonly parameters: Parameters
  readonly format: Format
  readonly numbers: Numbers
  readonly queryId: string
  readonly timeout: Duration.Duration | undefined
  /** The caller's identity, as the front-end gives it; empty if absent. Not to be logged. */
  readonly metadata: Metadata.Metadata
  /** Whether the query must change nothing. */
  readonly readOnly: boolean
  /** Whether the progress of the query may be requested. Otherwise the engine need not track it. */
  readonly progress: boolean
}

export const of = Effect.fnUntraced(function* (request: QueryRequest): Effect.fn.Return<ResolvedRequest> {
  return {
    query: request.query,
    parameters: request.parameters ?? [],
    format: request.format ?? defaultFormat,
    numbers: request.numbers ?? "number",
    queryId: request.queryId ?? (yield* randomId),
    timeout: request.timeoutMs === undefined ? undefined : Duration.millis(request.timeoutMs),
    metadata: Metadata.bare(request.metadata),
    readOnly: request.readOnly ?? false,
    progress: request.progress ?? false
  }
})

const randomId: Effect.Effect<string> = Effect.map(
  Effect.all([Random.nextIntBetween(0, 2 ** 32), Random.nextIntBetween(0, 2 ** 32)]),
  (words) => words.map((word) => word.toString(16).padStart(8, "0")).join("")
)
