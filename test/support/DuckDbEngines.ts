/**
 * DuckDB as the tests ask it: beside them, or with `ISOLATE=process` or `ISOLATE=thread` in one of its own.
 *
 *     ISOLATE=process npm test -- test/integration/DuckDb.test.ts test/engine/duckdbQueries.test.ts
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { DuckDbEngine, DuckDbError, type DuckDbOptions } from "../../src/engine/duckdb/index.ts"
import type { Engine } from "../../src/engine/QueryEngine.ts"
import * as ProcessEngine from "../../src/process/ProcessEngine.ts"
import * as ThreadEngine from "../../src/threads/ThreadEngine.ts"
import * as ThreadPool from "../../src/threads/ThreadPool.ts"

const place = process.env["ISOLATE"] ?? "none"

/** Whether it is in a process or a thread of its own: what a test then sees beside itself is not it. */
export const isIsolated = place !== "none"

/** Whether it is in another process. */
export const isInProcess = place === "process"

export const make = (options: DuckDbOptions): Effect.Effect<Engine, DuckDbError, Scope.Scope> => {
  switch (place) {
    case "process":
      return Effect.mapError(ProcessEngine.make(ProcessEngine.duckDb(options), { engines: 1 }), ofChild)
    case "thread":
      return Effect.mapError(ThreadEngine.make(ThreadEngine.duckDb(options)), ofChild).pipe(
        Effect.provideService(ThreadPool.ThreadPool, ThreadPool.make({ threads: 1 }))
      )
    default:
      return DuckDbEngine.make(options)
  }
}

/** What a process or thread says that could not start, as the engine in it has said. */
const ofChild = ({ message }: { readonly message: string }): DuckDbError =>
  new DuckDbError({ setting: /^[\w.]+/.exec(message)?.[0] ?? "", message })
