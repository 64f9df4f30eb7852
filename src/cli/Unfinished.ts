/**
 * Files that are to be complete or not there at all, also after an end of the process that waits for nothing.
 */
import { rmSync } from "node:fs"
import * as Effect from "effect/Effect"

const paths = new Set<string>()

/** Runs the effect that makes the file complete, or removes it. */
export const during = <A, E, R>(path: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    paths.add(path)
    return Effect.ensuring(
      effect,
      Effect.sync(() => paths.delete(path))
    )
  })

/** Removes the files that are not complete. */
export const remove = (): void => {
  for (const path of paths) {
    try {
      rmSync(path, { force: true })
    } catch {
      // It stays, under a name that says what it is.
    }
  }
}
