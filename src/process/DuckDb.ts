/**
 * DuckDB as the engine of a process: the module that the process loads.
 */
import * as Effect from "effect/Effect"
import type { DuckDbOptions } from "../engine/duckdb/Database.ts"
import type { Host } from "./EngineProcess.ts"

/** The engine. A database that cannot be opened again without loss takes its process with it. */
export const make = (options: DuckDbOptions, { lost }: Host) =>
  Effect.flatMap(
    Effect.promise(() => import("../engine/duckdb/DuckDbEngine.ts")),
    (DuckDbEngine) =>
      DuckDbEngine.make({
        ...options,
        onLost: () => lost("the database in memory failed, and what clients had changed in it is lost")
      })
  )
