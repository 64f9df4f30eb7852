/**
 * Detects whether a served file was changed in place while a query read it.
 *
 * DuckDB reads a file up to its end at that time. A CSV or JSON file that is truncated, rewritten or appended
 * to meanwhile shows no sign of it, and the result would look complete. So the version of a file is recorded
 * before DuckDB opens it, and compared once DuckDB has read it.
 */
import * as fs from "node:fs"
import { promisify } from "node:util"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ErrorCode, type QueryError, queryError } from "../QueryApi.ts"
import type * as IllFiles from "./IllFiles.ts"
import type { Version } from "./IllFiles.ts"
import * as Words from "./Words.ts"

/** A served table whose files are read anew by each query. */
export interface Table {
  readonly name: string
  readonly files: ReadonlyArray<string>
  /** Whether they are CSV that has to be UTF-8. */
  readonly isUtf8?: boolean | undefined
}

/** A view or a macro stored in a database. Its name is in lower case. */
export interface Definition {
  readonly name: string
  readonly text: string
}

/** The tables that a query reads. */
export interface Named {
  /** Those that it names, or that definitions read that it names. */
  readonly certain: ReadonlySet<Table>
  /** All that it may read: a client may have made definitions of others. */
  readonly tables: ReadonlySet<Table>
}

/**
 * Whether a file was changed in place. A deleted or replaced file was not: DuckDB reads on in the one that it
 * has opened. A file that was missing before was being created.
 */
export const isChanged = (before: Version | undefined, after: Version | undefined): boolean => {
  if (after === undefined) return false
  if (before === undefined) return true
  const isSame = before.dev === after.dev && before.ino === after.ino
  return isSame && (before.size !== after.size || before.mtimeNs !== after.mtimeNs)
}

/**
 * Resolves names to the files that they read: a name may be a table, or a view or macro that names
 * tables or their files.
 */
export class Served {
  readonly ill: IllFiles.IllFiles
  private readonly tables: ReadonlyMap<string, Table>
  private readonly definitions: ReadonlyMap<string, ReadonlySet<Table>>
  /** Whether a client may have made a view or a macro that reads some of the tables, under any name. */
  private isExtended = false

  /** The tables by lower-case name. */
  constructor(
    tables: ReadonlyMap<string, Table>,
    definitions: ReadonlyArray<Definition>,
    ill: IllFiles.IllFiles
  ) {
    this.ill = ill
    this.tables = tables
    this.definitions = tables.size === 0 ? new Map() : reach(tables, definitions)
  }

  /** The tables that a query with these lower-case names reads. */
  named(names: ReadonlyArray<string>): Named {
    const certain = new Set<Table>()
    for (const name of this.tables.size === 0 ? [] : names) {
      const table = this.tables.get(name)
      if (table !== undefined) certain.add(table)
      else for (const read of this.definitions.get(name) ?? []) certain.add(read)
    }
    const isGuess = this.isExtended && names.some((name) => !this.tables.has(name))
    return { certain, tables: isGuess ? new Set(this.tables.values()) : certain }
  }

  /** The tables that a statement reads, by its text alone. */
  mentioned(sql: string): Named {
    if (this.tables.size === 0) return this.named([])
    const { certain } = this.named(
      [...this.tables.keys(), ...this.definitions.keys()].filter(Words.mentions(sql))
    )
    return { certain, tables: this.isExtended ? new Set(this.tables.values()) : certain }
  }

  /** Records that a client's statement makes views or macros. */
  extend(sql: string): void {
    if (this.mentioned(sql).tables.size > 0) this.isExtended = true
  }
}

/** The tables that definitions read, directly or through others. */
const reach = (
  tables: ReadonlyMap<string, Table>,
  definitions: ReadonlyArray<Definition>
): ReadonlyMap<string, ReadonlySet<Table>> => {
  const read = new Map<string, Set<Table>>()
  const others = definitions
    .filter(({ name }) => !tables.has(name))
    .map(({ name, text }) => ({ name, text, isMentioned: Words.mentions(text) }))
  for (const { isMentioned, name, text } of others) {
    for (const [own, table] of tables) {
      if (!isMentioned(own) && !table.files.some((file) => text.includes(file))) continue
      read.set(name, (read.get(name) ?? new Set()).add(table))
    }
  }
  for (let before = -1, after = sizeOf(read); after > before; before = after, after = sizeOf(read)) {
    for (const { isMentioned, name } of others) {
      for (const [other, all] of read) {
        if (isMentioned(other))
          for (const table of all) read.set(name, (read.get(name) ?? new Set()).add(table))
      }
    }
  }
  return read
}

const sizeOf = (read: ReadonlyMap<string, ReadonlySet<Table>>): number => {
  let size = 0
  for (const tables of read.values()) size += tables.size
  return size
}

/**
 * Most files that are held open while they are read, so that a deleted or replaced one can still be checked.
 */
const maxHeld = 16

/**
 * Most files that are checked at a time, each by one of libuv's threads: a file may be on a slow remote disk.
 */
const atOnce = 16

/** The files that one query reads. */
export interface Reading {
  /**
   * Records the files of tables. Must precede their opening by DuckDB. Fails if one is known not to be UTF-8.
   */
  readonly begin: (named: Named) => Effect.Effect<void, QueryError>
  /** Fails if one of the files has changed since. Must follow DuckDB's reading of them. */
  readonly check: Effect.Effect<void, QueryError>
  /**
   * Fails with the query's error, or as `check` does: after a change of its files, another
   * reason is unlikely. An error that DuckDB thinks internal names the tables, and the line that is the reason.
   */
  readonly blamed: (error: QueryError) => Effect.Effect<never, QueryError>
  readonly served: Served
}

/** The scope closes the descriptors that it holds. */
export const open = (served: Served): Effect.Effect<Reading, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => new Files(served.ill)),
      (files) => Effect.sync(() => files.close())
    ),
    (files): Reading => {
      const check = Effect.suspend(() =>
        files.isEmpty
          ? Effect.void
          : Effect.flatMap(
              Effect.promise(() => files.changed()),
              failed
            )
      )
      return {
        served,
        begin: ({ certain, tables }) =>
          tables.size === 0
            ? Effect.void
            : Effect.andThen(
                Effect.promise(() => files.remember(tables)),
                refused(files, certain)
              ),
        check,
        blamed: (error) =>
          Effect.andThen(
            blamable.has(error.code) ? check : Effect.void,
            error.code === "internal" && !files.isEmpty
              ? Effect.flatMap(named(files, error), Effect.fail)
              : Effect.fail(error)
          )
      }
    }
  )

const blamable: ReadonlySet<ErrorCode> = new Set(["execution_failed", "internal"])

const failed = (table: Table | undefined): Effect.Effect<void, QueryError> =>
  table === undefined ? Effect.void : Effect.fail(changedError(table))

const changedError = ({ name }: Table): QueryError =>
  queryError(
    "execution_failed",
    `The file of the table ${name} was changed while the query read it, so the result is incomplete: run it again`,
    { retryable: true }
  )

/** Fails if a remembered file of the tables is known not to be UTF-8. */
const refused = (files: Files, tables: ReadonlySet<Table>): Effect.Effect<void, QueryError> =>
  Effect.flatMap(
    Effect.promise(() => files.ill(tables)),
    (found) => (found === undefined ? Effect.void : Effect.fail(illError(found)))
  )

const illError = ({ line, table }: Ill): QueryError =>
  queryError("execution_failed", `The file of the table ${table.name} is not UTF-8 in line ${line}`)

/** The error with the names of the tables that the query has read. */
const named = Effect.fnUntraced(function* (files: Files, error: QueryError): Effect.fn.Return<QueryError> {
  files.suspect()
  const found = yield* Effect.promise(() => files.ill(files.tables))
  if (found !== undefined) {
    const { line, path, table } = found
    yield* Effect.logWarning(`${path} (table ${table.name}) is not UTF-8 in line ${line}`)
    return illError(found)
  }
  const names = Array.from(files.tables, ({ name }) => name).join(", ")
  return queryError("internal", `DuckDB failed while it read ${names}: ${error.message}`, error)
})

/** A file that is not UTF-8. */
interface Ill {
  readonly table: Table
  readonly path: string
  readonly line: number
}

interface File {
  readonly table: Table
  readonly path: string
  readonly held: number | undefined
  readonly version: Version | undefined
}

class Files {
  private readonly files: Array<File> = []
  private readonly known: IllFiles.IllFiles
  private isClosed = false

  constructor(known: IllFiles.IllFiles) {
    this.known = known
  }

  get isEmpty(): boolean {
    return this.files.length === 0
  }

  get tables(): ReadonlySet<Table> {
    return new Set(this.files.map(({ table }) => table))
  }

  async remember(tables: ReadonlySet<Table>): Promise<void> {
    const paths = [...tables].flatMap((table) => table.files.map((path) => ({ table, path })))
    for (let at = 0; at < paths.length && !this.isClosed; at += atOnce) {
      const mayHold = this.files.length + atOnce <= maxHeld
      await Promise.all(
        paths.slice(at, at + atOnce).map(async ({ path, table }) => {
          const held = mayHold ? await hold(path) : undefined
          this.files.push({ table, path, held, version: await versionOf(path, held) })
          // The query was given up meanwhile.
          if (this.isClosed) this.close()
        })
      )
    }
  }

  /** Suspects the files that have to be UTF-8: DuckDB has failed. */
  suspect(): void {
    for (const { path, table, version } of this.files) {
      if (table.isUtf8 === true && version !== undefined) this.known.suspect(path, version)
    }
  }

  /** The first suspect of the tables that is not UTF-8. */
  async ill(tables: ReadonlySet<Table>): Promise<Ill | undefined> {
    for (const { path, table, version } of [...this.files]) {
      const isRead = table.isUtf8 === true && tables.has(table)
      const line = isRead ? await this.known.lineOf(path, version) : undefined
      if (line !== undefined) return { table, path, line }
    }
    return undefined
  }

  /** The first table that has changed. */
  async changed(): Promise<Table | undefined> {
    for (let at = 0; at < this.files.length; at += atOnce) {
      const found = await Promise.all(
        this.files
          .slice(at, at + atOnce)
          .map(async ({ held, path, version }) => isChanged(version, await versionOf(path, held)))
      )
      const index = found.indexOf(true)
      if (index !== -1) return this.files[at + index]?.table
    }
    return undefined
  }

  close(): void {
    this.isClosed = true
    for (const { held } of this.files.splice(0)) if (held !== undefined) fs.close(held)
  }
}

const openFile = promisify(fs.open)

/** Non-blocking, so that a pipe need not have a writer. */
const openFlags = fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0)

/** `undefined` if it cannot be opened: DuckDB reports the problem. */
const hold = (path: string): Promise<number | undefined> => openFile(path, openFlags).catch(() => undefined)

/** `undefined` if it is no file. */
const versionOf = (path: string, held: number | undefined): Promise<Version | undefined> =>
  new Promise((resolve) => {
    const done = (error: Error | null, found: fs.BigIntStats) =>
      resolve(error === null && found.isFile() ? found : undefined)
    if (held === undefined) fs.stat(path, { bigint: true }, done)
    else fs.fstat(held, { bigint: true }, done)
  })
