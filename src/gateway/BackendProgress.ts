/**
 * How far a back-end is with a query that runs.
 */
import * as Effect from "effect/Effect"
import type { Progress } from "../engine/QueryEngine.ts"
import type { Entry } from "./Queries.ts"

/** How long it may take to say so. */
const timeout = "1 second"

/** Asks it, if the query was asked for with `progress`. There is no answer where it has none in time, or fails. */
export const of = (entry: Entry): Effect.Effect<Progress | undefined> => {
  const { hasProgress, id, instance, state } = entry
  if (!hasProgress || instance === undefined || state !== "running") return Effect.undefined
  return instance.client.progress(id).pipe(
    Effect.timeout(timeout),
    Effect.map(({ elapsedMs: _, queryId: __, ...progress }) => progress),
    Effect.orElseSucceed(() => undefined)
  )
}
