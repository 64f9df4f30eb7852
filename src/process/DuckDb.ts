/**
 * DuckDB as the engine of a process: the module that processes load.
 */
import * as Effect from "effect/Effect"
import type { DuckDbOptions } from "../engine/duckdb/Database.ts"
import { DuckDbError } from "../engine/duckdb/Failure.ts"
import * as IllFiles from "../engine/duckdb/IllFiles.ts"
import type { Host } from "./EngineHost.ts"

/** Options of DuckDB in its process. */
export interface Options extends DuckDbOptions {
  /** The setting that `memoryLimit` was computed from, with its value. */
  readonly limitedBy: string | undefined
}

/** The engine. Its process ends with a database that cannot be opened again without loss. */
export const make = ({ limitedBy, ...options }: Options, host: Host) =>
  Effect.flatMap(
    Effect.promise(() => import("../engine/duckdb/DuckDbEngine.ts")),
    (DuckDbEngine) =>
      DuckDbEngine.make({
        ...options,
        unstoppable: { graceMillis: host.cancelGraceMillis, run: host.cancelIgnored },
        onLost: () => host.lost("the database in memory failed, and what clients had changed in it is lost")
      })
  ).pipe(
    Effect.provideService(
      IllFiles.Known,
      new IllFiles.IllFiles(host.notes as ReadonlyArray<IllFiles.Suspect>, host.note)
    ),
    Effect.mapError((error) => (limitedBy === undefined ? error : named(limitedBy, error)))
  )

/** An error about the memory, with the setting that a user can change. */
const named = (limitedBy: string, { message, setting }: DuckDbError): DuckDbError =>
  new DuckDbError({ setting, message: message.replace(/^memoryLimit: \d+B/, limitedBy) })
