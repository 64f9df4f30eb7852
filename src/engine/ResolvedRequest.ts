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
 * What a v1 engine is asked: a request with its defaults filled in.
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
  /** Who asks, as the front-end says it; empty where it says nothing. Not to be logged. */
  readonly metadata: Metadata.Metadata
  /** Whether the query must change nothing. */
  readonly readOnly: boolean
  /** Whether the progress of the query may be asked for. Otherwise the engine need not keep account of it. */
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
