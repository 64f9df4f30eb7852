/**
 * DuckDB as the tests ask it: in their own process, or with `ISOLATE=process` in one of its own.
 *
 *     ISOLATE=process npm test -- test/integration/DuckDb.test.ts test/engine/duckdbQueries.test.ts
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { DuckDbEngine, type DuckDbError, type DuckDbOptions } from "../../src/engine/duckdb/index.ts"
import type { Engine } from "../../src/engine/QueryEngine.ts"
import * as ProcessEngine from "../../src/process/ProcessEngine.ts"

export const make = (options: DuckDbOptions): Effect.Effect<Engine, DuckDbError, Scope.Scope> =>
  process.env["ISOLATE"] === "process"
    ? Effect.orDie(ProcessEngine.make(ProcessEngine.duckDb(options), { engines: 1 }))
    : DuckDbEngine.make(options)
