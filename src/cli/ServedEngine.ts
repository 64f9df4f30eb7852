/**
 * The engine of the standalone server, which is opened again with other settings.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { DuckDbError } from "../engine/duckdb/Failure.ts"
import * as Generations from "../engine/Generations.ts"
import type { ServeConfig } from "./ServeConfig.ts"

/** What an engine is opened with besides the settings. */
export interface Options {
  readonly config: ServeConfig
  /** The private directory of the process. */
  readonly spillDirectory: string
  readonly onLost: () => void
}

export type ServedEngine = Generations.Generations<ServeConfig, DuckDbError>

/** Opens the engine; it closes with the scope. */
export const make = ({
  config,
  onLost,
  spillDirectory
}: Options): Effect.Effect<ServedEngine, DuckDbError, Scope.Scope> =>
  Generations.make(
    Effect.fnUntraced(function* (config: ServeConfig) {
      // Loaded only here: other commands do without it, and its threads have the rights of this time.
      const DuckDbEngine = yield* Effect.promise(() => import("../engine/duckdb/DuckDbEngine.ts"))
      const sample = config.database === undefined && Object.keys(config.tables).length === 0
      return yield* DuckDbEngine.make({ ...config, spillDirectory, sample, onLost })
    }),
    config
  )
