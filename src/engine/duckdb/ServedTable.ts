/**
 * Makes a file, or the files of a pattern, readable under a name.
 */
import { stat } from "node:fs/promises"
import { resolve, sep } from "node:path"
import type { DuckDBMaterializedResult } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import * as DatabaseFile from "./DatabaseFile.ts"
import { DuckDbError } from "./Failure.ts"
import * as Opening from "./Opening.ts"
import type * as Reading from "./Reading.ts"
import * as Sql from "./Sql.ts"
import * as TableFile from "./TableFile.ts"

/** Runs SQL on behalf of a setting, which the error names. */
export type Run = (setting: string, sql: string) => Effect.Effect<DuckDBMaterializedResult, DuckDbError>

const databaseFile = /\.(duckdb|ddb|db)$/i

/** Returns the table, or `undefined` for a DuckDB file, whose tables are its own. */
export const make = Effect.fnUntraced(function* (
  run: Run,
  name: string,
  text: string
): Effect.fn.Return<Reading.Table | undefined, DuckDbError> {
  const setting = `tables.${name}`
  const error = (problem: string) => new DuckDbError({ setting, message: `${setting}: ${problem}` })
  const file = yield* Effect.mapError(Effect.fromResult(TableFile.parse(text)), error)
  const path = resolve(file.path)
  const isDatabase = databaseFile.test(path)
  const reader = TableFile.readerOf(path)
  if (!isDatabase && reader === undefined) {
    return yield* error(`${file.path} is no CSV, JSON, Parquet or DuckDB file by its name`)
  }
  if (isDatabase && file.options.length > 0) return yield* error("a DuckDB file has no options")
  const search = find((sql) => run(setting, sql), setting, path)
  if (reader === undefined) {
    const [first = path, ...others] = TableFile.isPattern(path) ? yield* search : []
    const isExact = first === path || others.includes(path)
    if (others.length > 0 && !isExact) {
      return yield* error(`${file.path} finds several DuckDB files; give each a name`)
    }
    yield* DatabaseFile.check(setting, isExact ? file.path : first)
    const found = Sql.literal(isExact ? path : first)
    yield* run(setting, `ATTACH ${found} AS ${Sql.identifier(name)} (READ_ONLY)`)
    return undefined
  }
  const files = yield* search
  if (files.length === 0) return yield* error(`there is no file ${file.path}`)
  const unreadable = files.find((each) => sep === "/" && each.includes("\\") && TableFile.isPattern(each))
  if (unreadable !== undefined) {
    return yield* error(`DuckDB cannot read ${unreadable}: a path may not have a backslash beside *, ? or [`)
  }
  const call = yield* Effect.mapError(Effect.fromResult(TableFile.call(reader, files, file)), error)
  yield* run(setting, `CREATE VIEW ${Sql.identifier(name)} AS FROM ${call}`)
  return { name, files, isUtf8: TableFile.isUtf8(reader, file) }
})

/**
 * The files of a path or pattern. A file of exactly this name is meant unless the pattern finds it too
 * (`r[1].csv`). The pattern is resolved now: a sealed instance cannot search for files later.
 */
const find = Effect.fnUntraced(function* (
  run: (sql: string) => ReturnType<Run>,
  setting: string,
  path: string
): Effect.fn.Return<ReadonlyArray<string>, DuckDbError> {
  const found = yield* run(`SELECT file FROM glob(${Sql.literal(path)}) ORDER BY file`)
  const files = (yield* Opening.attempt(setting, () => found.getRows())).map(([file]) => String(file))
  if (files.includes(path) || !TableFile.isPattern(path)) return files
  return (yield* Effect.promise(() => isFile(path))) ? [path] : files
})

const isFile = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => !found.isDirectory(),
    () => false
  )
