/**
 * DuckDB as the tests ask it: in their own process, or with `ISOLATE=process` in one of its own.
 *
 *     ISOLATE=process npm test -- test/integration/DuckDb.test.ts test/engine/duckdbQueries.test.ts
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { DuckDbEngine, DuckDbError, type DuckDbOptions } from "../../src/engine/duckdb/index.ts"
import type { Engine } from "../../src/engine/QueryEngine.ts"
import * as ProcessEngine from "../../src/process/ProcessEngine.ts"

/** Whether it is in a process of its own: what a test then sees inside its own is not it. */
export const isIsolated = process.env["ISOLATE"] === "process"

export const make = (options: DuckDbOptions): Effect.Effect<Engine, DuckDbError, Scope.Scope> =>
  isIsolated
    ? Effect.mapError(ProcessEngine.make(ProcessEngine.duckDb(options), { engines: 1 }), ofProcess)
    : DuckDbEngine.make(options)

/** What a process says that could not start, as the engine in it has said. */
const ofProcess = ({ message }: ProcessEngine.ProcessEngineError): DuckDbError =>
  new DuckDbError({ setting: /^[\w.]+/.exec(message)?.[0] ?? "", message })
