/** DuckDB as the engine of a process or a thread: its module, and what relays must know of its options. */
import type { DuckDbOptions } from "../engine/duckdb/Database.ts"
import * as OptionChecks from "../engine/duckdb/OptionChecks.ts"
import * as Limits from "../engine/Limits.ts"
import * as Program from "./Program.ts"

/** Checks the options. `common` are the members of an engine's module that processes and threads share. */
export const of = (given: Omit<DuckDbOptions, "onLost" | "unstoppable">) => {
  const { admit, ...options } = OptionChecks.check(given)
  const common = {
    module: Program.duckDb(),
    admit,
    limits: Limits.among(options),
    changes: options.readWrite === true || options.allowExternalAccess === true,
    // A COPY writes its file at once.
    commits: options.allowExternalAccess !== true
  }
  return { common, options }
}
