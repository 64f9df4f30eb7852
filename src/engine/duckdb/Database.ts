/**
 * Opens the DuckDB instance that a server answers from, and closes it to everything else.
 */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { DuckDBInstance, type DuckDBMaterializedResult } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Limits from "../Limits.ts"
import { DuckDbError, fromCause } from "./Failure.ts"
import * as Sample from "./Sample.ts"
import * as Sentinel from "./Sentinel.ts"
import * as Sql from "./Sql.ts"

/** What the engine serves and what it permits. Everything is optional; the default is an empty database. */
export interface DuckDbOptions extends Limits.Options {
  /** A DuckDB database file. In memory when absent. Opened read-only unless `readWrite` is set. */
  readonly database?: string | undefined
  /**
   * Names for files: each is a view on its CSV, Parquet or JSON file (a path, or a pattern with `*`), read
   * anew by each query and never copied, or a DuckDB database file, attached read-only under its name.
   */
  readonly tables?: Readonly<Record<string, string>> | undefined
  /** Whether to make the tables `trades` and `quotes` of `Sample`. Default `false`. */
  readonly sample?: boolean | undefined
  /** Whether clients may change data. Default `false`. */
  readonly readWrite?: boolean | undefined
  /**
   * Whether queries may reach for files, the network and extensions, with the rights of this process.
   * Default `false`: then only what is named here can be read.
   */
  readonly allowExternalAccess?: boolean | undefined
  /** DuckDB's `memory_limit`, such as `"2GB"`. Default: 80 % of the machine's memory. */
  readonly memoryLimit?: string | undefined
  /** DuckDB's `threads`. Default: one per core. */
  readonly threads?: number | undefined
}

/** Opens the database; it closes with the scope, after the queries that run on it. */
export const open = Effect.fnUntraced(function* (
  options: DuckDbOptions
): Effect.fn.Return<DuckDBInstance, DuckDbError, Scope.Scope> {
  const spillDirectory = yield* privateDirectory
  const layout = yield* layoutOf(options)
  const instance = yield* openInstance(layout.main, options.readWrite === true)
  yield* Effect.scoped(furnish(instance, options, layout, spillDirectory))
  return instance
})

/** Which database file is the instance's own, and which is attached beside an instance in memory. */
interface Layout {
  readonly main: string | undefined
  readonly aside: string | undefined
}

const layoutOf = (options: DuckDbOptions): Effect.Effect<Layout, DuckDbError> => {
  const addition =
    Object.keys(options.tables ?? {}).length > 0 ? "tables" : options.sample === true ? "sample" : undefined
  if (options.database === undefined || addition === undefined) {
    return Effect.succeed({ main: options.database, aside: undefined })
  }
  // Views and sample tables would be stored in the file, which is not ours to change.
  return options.readWrite === true
    ? Effect.fail(
        new DuckDbError({
          setting: addition,
          message: `${addition} cannot be combined with a database file that is opened with readWrite`
        })
      )
    : Effect.succeed({ main: undefined, aside: options.database })
}

/** A directory that only this process's user can read, for what DuckDB spills; deleted with the scope. */
export const privateDirectory: Effect.Effect<string, DuckDbError, Scope.Scope> = Effect.acquireRelease(
  Effect.tryPromise({
    try: () => mkdtemp(join(tmpdir(), "dataconn-")),
    catch: (cause) =>
      new DuckDbError({
        setting: "TMPDIR",
        message: `No directory for temporary files could be made in ${tmpdir()}: ${String(cause)}`,
        cause
      })
  }),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

const openInstance = (
  database: string | undefined,
  readWrite: boolean
): Effect.Effect<DuckDBInstance, DuckDbError, Scope.Scope> =>
  Effect.acquireRelease(
    attempt("database", () =>
      DuckDBInstance.create(database ?? ":memory:", {
        // The exception's type and position come only with this form.
        errors_as_json: "true",
        ...(database !== undefined && !readWrite ? { access_mode: "READ_ONLY" } : {})
      })
    ),
    (instance) => Effect.sync(() => instance.closeSync())
  )

const attempt = <A>(setting: string, thunk: () => Promise<A>): Effect.Effect<A, DuckDbError> =>
  // A database that is closed while a call is still running in it never lets the process end.
  Effect.uninterruptible(
    Effect.tryPromise({
      try: thunk,
      catch: (cause) =>
        new DuckDbError({ setting, message: `${setting}: ${fromCause(cause).message}`, cause })
    })
  )

/** Runs SQL on behalf of a setting, which its failure names. */
type Run = (setting: string, sql: string) => Effect.Effect<DuckDBMaterializedResult, DuckDbError>

/** Everything that needs access to files, and last the loss of that access. */
const furnish = Effect.fnUntraced(function* (
  instance: DuckDBInstance,
  options: DuckDbOptions,
  layout: Layout,
  spillDirectory: string
): Effect.fn.Return<void, DuckDbError, Scope.Scope> {
  const connection = yield* Effect.acquireRelease(
    attempt("database", () => instance.connect()),
    (connection) => Effect.sync(() => connection.disconnectSync())
  )
  const run: Run = (setting, sql) => attempt(setting, () => connection.run(sql))

  yield* Effect.forEach(Sentinel.statements, (sql) => run("database", sql), { discard: true })
  // Otherwise a thread that has been idle for half a second gives all its memory back, and the first rows of the
  // next query wait until the system has handed it out again: some 30 ms for a large result.
  yield* run("database", "SET GLOBAL allocator_background_threads = true")
  yield* run("temp_directory", `SET temp_directory = ${Sql.literal(spillDirectory)}`)
  // Timestamps with a zone are printed in the session's, which would otherwise be the machine's.
  yield* run("TimeZone", "SET GLOBAL TimeZone = 'UTC'")
  if (options.memoryLimit !== undefined) {
    yield* run("memoryLimit", `SET memory_limit = ${Sql.literal(options.memoryLimit)}`)
  }
  if (options.threads !== undefined) yield* run("threads", `SET threads = ${Number(options.threads)}`)
  if (layout.aside !== undefined) yield* mirror(run, layout.aside)
  if (options.sample === true) {
    yield* Effect.forEach(Sample.statements, (sql) => run("sample", sql), { discard: true })
  }
  const files = yield* Effect.forEach(Object.entries(options.tables ?? {}), ([name, file]) =>
    nameFile(run, name, file)
  )
  if (options.allowExternalAccess !== true) yield* seal(run, files.flat())
})

/** From here on only `files` can be read, and no setting of the instance can be changed any more. */
const seal = Effect.fnUntraced(function* (
  run: Run,
  files: ReadonlyArray<string>
): Effect.fn.Return<void, DuckDbError> {
  if (files.length > 0) yield* run("tables", `SET allowed_paths = ${Sql.list(files)}`)
  yield* run("allowExternalAccess", "SET enable_external_access = false")
  // `Session` sizes its buffer. It is a setting of a connection, and a client has neither SET nor a
  // connection that outlives its query.
  yield* run("allowExternalAccess", "SET allowed_configs = ['streaming_buffer_size']")
  yield* run("allowExternalAccess", "SET lock_configuration = true")
})

/** Attaches a database and gives its tables their plain names, as views. */
const mirror = Effect.fnUntraced(function* (run: Run, file: string): Effect.fn.Return<void, DuckDbError> {
  yield* run("database", `ATTACH ${Sql.literal(file)} AS served (READ_ONLY)`)
  const tables = yield* run(
    "database",
    "SELECT table_name FROM information_schema.tables WHERE table_catalog = 'served' AND table_schema = 'main'"
  )
  for (const [name] of yield* attempt("database", () => tables.getRows())) {
    const table = Sql.identifier(String(name))
    yield* run("database", `CREATE VIEW ${table} AS FROM served.main.${table}`)
  }
})

const readers: ReadonlyArray<readonly [extensions: RegExp, reader: string]> = [
  [/\.(csv|tsv|txt)(\.gz|\.zst)?$/i, "read_csv_auto"],
  [/\.(json|ndjson|jsonl)(\.gz|\.zst)?$/i, "read_json_auto"],
  [/\.(parquet|pq)$/i, "read_parquet"]
]

const databaseFile = /\.(duckdb|ddb|db)$/i

/** Makes a file readable under a name. Returns the files that its queries open. */
const nameFile = Effect.fnUntraced(function* (
  run: Run,
  name: string,
  file: string
): Effect.fn.Return<ReadonlyArray<string>, DuckDbError> {
  const setting = `tables.${name}`
  const path = resolve(file)
  if (databaseFile.test(path)) {
    yield* run(setting, `ATTACH ${Sql.literal(path)} AS ${Sql.identifier(name)} (READ_ONLY)`)
    return []
  }
  const reader = readers.find(([extensions]) => extensions.test(path))?.[1]
  if (reader === undefined) {
    return yield* new DuckDbError({
      setting,
      message: `${setting}: ${file} is no CSV, JSON, Parquet or DuckDB file by its name`
    })
  }
  // The pattern is resolved now: a sandbox of named files cannot look for others later.
  const found = yield* run(setting, `SELECT file FROM glob(${Sql.literal(path)}) ORDER BY file`)
  const files = (yield* attempt(setting, () => found.getRows())).map(([file]) => String(file))
  if (files.length === 0) {
    return yield* new DuckDbError({ setting, message: `${setting}: there is no file ${file}` })
  }
  yield* run(setting, `CREATE VIEW ${Sql.identifier(name)} AS FROM ${reader}(${Sql.list(files)})`)
  return files
})
