/**
 * Opens the DuckDB instance of a server, and closes its access to everything else.
 */
import { existsSync } from "node:fs"
import { availableParallelism } from "node:os"
import { basename, extname, resolve } from "node:path"
import type { DuckDBInstance } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Limits from "../Limits.ts"
import type * as QueryApi from "../QueryApi.ts"
import * as DatabaseFile from "./DatabaseFile.ts"
import { DuckDbError } from "./Failure.ts"
import * as GiveBack from "./GiveBack.ts"
import * as Instance from "./Instance.ts"
import * as Opening from "./Opening.ts"
import * as Progress from "./Progress.ts"
import type * as Reading from "./Reading.ts"
import * as Replay from "./Replay.ts"
import * as ResultFiles from "./ResultFiles.ts"
import * as ResultMemory from "./ResultMemory.ts"
import * as Sample from "./Sample.ts"
import * as Sentinel from "./Sentinel.ts"
import * as ServedTable from "./ServedTable.ts"
import type * as Session from "./Session.ts"
import * as Spill from "./Spill.ts"
import * as SpillRoom from "./SpillRoom.ts"
import * as Sql from "./Sql.ts"
import * as TableFile from "./TableFile.ts"

/**
 * The data that the engine serves, and its permissions. Everything is optional; the default is
 * an empty database.
 *
 * @category settings
 * @since 0.1.0
 */
export interface DuckDbOptions extends Limits.Options {
  /** A DuckDB database file. In memory when absent. Opened read-only unless `readWrite` is set. */
  readonly database?: string | undefined
  /**
   * Names for files. Each is a view on its CSV, Parquet or JSON file (a path, or a pattern with `*`, `?` and
   * `[…]`, in which `[*]` is an asterisk), read anew by each query and never copied, or a DuckDB database file, attached read-only under its name.
   * Options of the reader may follow the path, as in `sales.csv?encoding=latin-1&delim=;`. Columns of
   * several files are united by name. A query fails if its file is changed in place meanwhile, and may be
   * retried; replace files by a rename. Not allowed with a `database` with `readWrite`, in whose file the
   * names would be stored.
   */
  readonly tables?: Readonly<Record<string, string>> | undefined
  /** Whether to make the tables `trades` and `quotes` of `Sample`. Default `false`. */
  readonly sample?: boolean | undefined
  /** Whether clients may change data. Default `false`. */
  readonly readWrite?: boolean | undefined
  /**
   * Whether queries may access files and the network, with the rights of this process and extensions of
   * DuckDB's own. Default `false`: then only the data named here can be read.
   */
  readonly allowExternalAccess?: boolean | undefined
  /** DuckDB's `memory_limit`, such as `"2GB"`. Default: 80 % of the machine's memory. */
  readonly memoryLimit?: string | undefined
  /** DuckDB's `threads`. Default: one per core. */
  readonly threads?: number | undefined
  /**
   * The parent of a private directory for data that outgrow the memory. Default: the system's directory for
   * temporary files (`TMPDIR`).
   */
  readonly spillDirectory?: string | undefined
  /**
   * How much may be written there, in bytes; a query that needs more fails. The limit applies twice: once to
   * the needs of running queries, and once to the files of Parquet results until they have been sent.
   * Default: {@link defaultMaxSpill}.
   */
  readonly maxSpill?: number | undefined
  /** Decides whether a request is admitted; see `QueryApi.makeEngine`. Default: all requests. */
  readonly admit?:
    | ((request: QueryApi.ResolvedRequest) => Effect.Effect<void, QueryApi.QueryError>)
    | undefined
  /**
   * Called once if DuckDB gives up a database that cannot be opened again without loss: one in memory that
   * clients could change. Every request fails from then on, so the process should end.
   */
  readonly onLost?: (() => void) | undefined
  /**
   * Whether a table with an unreadable file is left out, with a line in the log; otherwise the engine does
   * not open. A list of names limits this to their tables. When a database that DuckDB gave up is opened
   * again, this applies to all tables. Default `false`.
   */
  readonly skipUnreadable?: boolean | ReadonlyArray<string> | undefined
  /** The reaction to a statement that DuckDB is still preparing after its query has ended. Default: none. */
  readonly unstoppable?: Session.Unstoppable | undefined
}

/** 16 GiB. */
export const defaultMaxSpill = 16 * 1024 ** 3

/** An open database. */
export interface Database {
  readonly instance: Instance.Instance
  /** Whether changes go to the log of a file. */
  readonly isLogged: boolean
  /** Options of its sessions. */
  readonly session: Pick<Session.Options, "searchPath" | "memory" | "unstoppable">
  readonly giveBack: GiveBack.GiveBack
  /** The files for complete results before they are streamed. */
  readonly files: ResultFiles.ResultFiles
  /** The private directory of all spilled data. */
  readonly directory: string
  /** Called when a query could not write there: frees what DuckDB keeps of failed queries, and logs that. */
  readonly diskFull: Effect.Effect<void>
  /** The names of the tables that were left out because their files could not be read. */
  readonly unread: ReadonlySet<string>
  /** The other tables except databases, by lower-case name. */
  readonly tables: ReadonlyMap<string, Reading.Table>
}

/** Opens the database. It closes with the scope, after its running queries. */
export const open = Effect.fnUntraced(function* (
  options: DuckDbOptions
): Effect.fn.Return<Database, DuckDbError, Scope.Scope> {
  const layout = yield* layoutOf(options)
  const memory = new ResultMemory.ResultMemory({
    maxResultMemory: options.maxResultMemory ?? Limits.defaults.maxResultMemory,
    threads: options.threads ?? availableParallelism()
  })
  const directory = yield* Spill.make(options.spillDirectory, options.skipUnreadable === true)
  const temporary = Spill.unreadable(directory)
  /** The number of instances so far. */
  let count = 0
  /** The directory of the last one. */
  let own = temporary
  const unread = new Set<string>()
  const tables = new Map<string, Reading.Table>()
  let { skipUnreadable } = options
  const instance = yield* Instance.make(
    Effect.gen(function* () {
      tables.clear()
      unread.clear()
      own = yield* Spill.ofInstance(temporary, ++count)
      const surroundings = { temporary, own, tables, unread }
      return yield* openInstance({ ...options, skipUnreadable }, layout, surroundings)
    }),
    { whenInvalidated: whenInvalidated(options) }
  )
  skipUnreadable = true
  return {
    giveBack: yield* GiveBack.make(instance, memory),
    instance,
    isLogged: options.readWrite === true && options.database !== undefined,
    session: {
      searchPath: layout.aside && searchPath(layout.aside),
      memory,
      unstoppable: options.unstoppable
    },
    files: ResultFiles.make(temporary, options.maxSpill ?? defaultMaxSpill),
    directory,
    diskFull: SpillRoom.free(instance, () => own),
    unread,
    tables
  }
})

const whenInvalidated = ({
  database,
  onLost,
  readWrite
}: DuckDbOptions): Instance.Options["whenInvalidated"] =>
  readWrite !== true ? "reopen" : database !== undefined ? "reopenAlone" : (onLost ?? (() => {}))

/** The instance's own database file, or the one attached to an instance in memory. */
interface Layout {
  readonly main: string | undefined
  readonly aside: Attached | undefined
}

interface Attached {
  readonly name: string
  readonly path: string
}

const layoutOf = Effect.fnUntraced(function* (options: DuckDbOptions): Effect.fn.Return<Layout, DuckDbError> {
  if (options.database === undefined) return { main: undefined, aside: undefined }
  const path = resolve(options.database)
  yield* DatabaseFile.check("database", options.database, options.readWrite === true)
  const addition =
    Object.keys(options.tables ?? {}).length > 0 ? "tables" : options.sample === true ? "sample" : undefined
  // DuckDB cannot replay every log of a main database (`Replay`).
  const isReplayed = options.readWrite !== true && existsSync(`${path}.wal`)
  if (addition === undefined && !isReplayed) return { main: path, aside: undefined }
  // Views and sample tables would be stored in the file, which belongs to the user.
  if (addition !== undefined && options.readWrite === true) {
    return yield* new DuckDbError({
      setting: addition,
      message: `${addition} cannot be combined with a database file that is opened with readWrite`
    })
  }
  return { main: undefined, aside: { name: attachedName(path), path } }
})

/** DuckDB's own name for a database file, with a suffix if that name is reserved. */
const attachedName = (path: string): string => {
  const name = basename(path, extname(path))
  return /^(memory|system|temp)$/i.test(name) ? `${name}_1` : name
}

const searchPath = ({ name }: Attached): string => `${Sql.identifier(name)}.main,memory.main`

interface Surroundings {
  /** The directory that the instance may write to, and its own in that. */
  readonly temporary: string
  readonly own: string
  /** The tables with readable files, and the names of the others. */
  readonly tables: Map<string, Reading.Table>
  readonly unread: Set<string>
}

const openInstance = Effect.fnUntraced(function* (
  options: DuckDbOptions,
  layout: Layout,
  surroundings: Surroundings
) {
  const { main } = layout
  const { own, temporary } = surroundings
  const opening = Opening.create(main, {
    ...Opening.closed,
    temp_directory: own,
    ...(main !== undefined && options.readWrite !== true ? { access_mode: "READ_ONLY" } : {})
  })
  const instance =
    main === undefined
      ? yield* opening
      : yield* Effect.catchIf(opening, Replay.isFailed, () =>
          Effect.andThen(Replay.repair(main, temporary), opening)
        )
  yield* Effect.mapError(Effect.scoped(furnish(instance, options, layout, surroundings)), (error) =>
    Opening.inMemory(options.memoryLimit, error)
  )
  const fit = SpillRoom.fit(instance, own, options.maxSpill ?? defaultMaxSpill)
  yield* fit
  yield* Spill.kept(own, fit)
  return instance
})

/** Does everything that needs access to files, and then removes that access. */
const furnish = Effect.fnUntraced(function* (
  instance: DuckDBInstance,
  options: DuckDbOptions,
  layout: Layout,
  { tables, temporary, unread }: Surroundings
): Effect.fn.Return<void, DuckDbError, Scope.Scope> {
  const connect = Effect.map(
    Effect.acquireRelease(
      Opening.attempt("database", () => instance.connect()),
      (connection) => Effect.sync(() => connection.disconnectSync())
    ),
    (connection): ServedTable.Run =>
      (setting, sql) =>
        Opening.attempt(setting, () => connection.run(sql))
  )
  const run = yield* connect

  yield* Effect.forEach(Sentinel.statements, (sql) => run("database", sql), { discard: true })
  yield* run("maxSpill", SpillRoom.limit(options.maxSpill ?? defaultMaxSpill))
  // Otherwise a thread returns all its memory after half a second of idling, and the first rows of the next
  // query wait until the system has provided it again: some 30 ms for a large result.
  yield* run("database", "SET GLOBAL allocator_background_threads = true")
  // Timestamps with a zone are printed in the session's zone, which would otherwise be the machine's.
  yield* run("TimeZone", "SET GLOBAL TimeZone = 'UTC'")
  if (options.memoryLimit !== undefined) {
    // DuckDB requires a unit.
    const limit = options.memoryLimit.replace(/^\s*\d+\s*$/, "$&B")
    yield* run("memoryLimit", `SET memory_limit = ${Sql.literal(limit)}`)
  }
  if (layout.aside !== undefined) {
    const { name, path } = layout.aside
    const attach = `ATTACH ${Sql.literal(path)} AS ${Sql.identifier(name)} (READ_ONLY)`
    yield* Effect.mapError(run("database", attach), Replay.advise)
  }
  if (options.sample === true) {
    // Several threads would mostly wait for each other: 300 ms a table on a busy machine, not 120.
    yield* run("sample", "SET threads = 1")
    const alone = (sql: string) => Effect.scoped(Effect.flatMap(connect, (run) => run("sample", sql)))
    yield* Effect.forEach(Sample.statements, alone, { concurrency: "unbounded", discard: true })
    yield* run("sample", "RESET threads")
  }
  if (options.threads !== undefined) yield* run("threads", `SET threads = ${options.threads}`)
  const files = yield* Effect.forEach(Object.entries(options.tables ?? {}), ([name, file]) => {
    const named = Effect.map(ServedTable.make(run, name, file), (table) => {
      if (table === undefined) return []
      tables.set(name.toLowerCase(), table)
      return table.files
    })
    const { skipUnreadable: skipped = false } = options
    if (typeof skipped === "boolean" ? !skipped : !skipped.includes(name)) return named
    return Effect.catch(named, ({ message }) => {
      unread.add(name)
      return Effect.as(Effect.logError(`${message}; the others are served without it`), [])
    })
  })
  if (layout.aside !== undefined) yield* checkNames(run, layout.aside.name)
  yield* options.allowExternalAccess === true
    ? run(
        "allowExternalAccess",
        "SET autoinstall_known_extensions = true; SET autoload_known_extensions = true"
      )
    : seal(run, temporary, files.flat())
})

/** Allows access to `files` only from here on, and locks the settings of the instance. */
const seal = Effect.fnUntraced(function* (
  run: ServedTable.Run,
  temporary: string,
  files: ReadonlyArray<string>
): Effect.fn.Return<void, DuckDbError> {
  yield* run("allowExternalAccess", `SET allowed_directories = ${Sql.list([temporary])}`)
  // DuckDB asks for the path that it was given, and for that of the file.
  const paths = new Set(files.flatMap((file) => [file, TableFile.pattern(file)]))
  if (paths.size > 0) yield* run("tables", `SET allowed_paths = ${Sql.list([...paths])}`)
  yield* run("allowExternalAccess", "SET enable_external_access = false")
  // `Session` sets all but the last two. They are connection settings, and a client has neither SET nor a
  // connection that outlives its query. The last ones are for `GiveBack` and `SpillRoom`.
  const own = ["memory_limit", "max_temp_directory_size"]
  const changed = ["streaming_buffer_size", "search_path", ...Progress.settings, ...own]
  yield* run("allowExternalAccess", `SET allowed_configs = ${Sql.list(changed)}`)
  yield* run("allowExternalAccess", "SET lock_configuration = true")
})

/** Two tables with one name would hide each other. */
const checkNames = Effect.fnUntraced(function* (
  run: ServedTable.Run,
  database: string
): Effect.fn.Return<void, DuckDbError> {
  const found = yield* run(
    "tables",
    `SELECT ours.table_name FROM information_schema.tables AS ours, information_schema.tables AS theirs
    WHERE ours.table_catalog = 'memory' AND ours.table_schema = 'main'
      AND theirs.table_catalog = ${Sql.literal(database)} AND theirs.table_schema = 'main'
      AND lower(ours.table_name) = lower(theirs.table_name)`
  )
  const [name] = (yield* Opening.attempt("tables", () => found.getRows())).flat()
  if (name === undefined) return
  return yield* new DuckDbError({
    setting: `tables.${name}`,
    message: `tables.${name}: the database has a table of this name; choose another`
  })
})
