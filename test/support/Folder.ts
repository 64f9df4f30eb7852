/**
 * A folder of a test's own, short enough for the path of a Unix socket; deleted with the scope.
 */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export const make: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "t-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)
