/** The progress of a running query at its back-end. */
import * as Effect from "effect/Effect"
import type { Progress } from "../engine/QueryEngine.ts"
import type { Entry } from "./Queries.ts"

/** How long the answer may take. */
const timeout = "1 second"

/**
 * Asks the back-end, if the query was sent with `progress`. `undefined` if it does not answer in time, or
 * fails.
 */
export const of = (entry: Entry): Effect.Effect<Progress | undefined> => {
  const { hasProgress, id, instance, state } = entry
  if (!hasProgress || instance === undefined || state !== "running") return Effect.undefined
  return instance.client.progress(id).pipe(
    Effect.timeout(timeout),
    Effect.map(({ elapsedMs: _, queryId: __, ...progress }) => progress),
    Effect.orElseSucceed(() => undefined)
  )
}
