/** Checks of the engine's options, without loading DuckDB. */
import * as Limit from "../../settings/Limit.ts"
import * as Value from "../../settings/Value.ts"
import * as Limits from "../Limits.ts"
import type { DuckDbOptions } from "./Database.ts"

const tables = (name: string, given: unknown): void => {
  if (!Value.isRecord(given)) Limit.fail(name, "an object of files by name", given)
  for (const [table, file] of Object.entries(given as object)) Limit.text(`${name}.${table}`, file as string)
}

const checks: Limit.Checks<DuckDbOptions> = {
  ...Limits.checks,
  database: Limit.text,
  tables,
  sample: Limit.flag,
  readWrite: Limit.flag,
  allowExternalAccess: Limit.flag,
  memoryLimit: (name, given: string) => Limit.text(name, given, 'a size such as "2GB"'),
  threads: (name, given: number) => Limit.count(name, given, 1),
  spillDirectory: Limit.text,
  maxSpill: (name, given: number) => Limit.size(name, given, 0),
  admit: Limit.callback,
  onLost: Limit.callback,
  skipUnreadable: (name, given: boolean | ReadonlyArray<string>) =>
    typeof given === "boolean" || Limit.each<string>(Limit.text)(name, given),
  unstoppable: Limit.any
}

/** The options. Throws a `RangeError` that begins with the name of an invalid or unknown one. */
export const check = <O extends DuckDbOptions>(options: O): O => {
  Limit.settings<DuckDbOptions>("DuckDB", options, checks)
  return options
}
