/**
 * Whether a served file was changed in place while a query read it.
 *
 * DuckDB reads a file to wherever its end is by then. A CSV or JSON file that is cut, written anew or appended to
 * meanwhile has nothing that tells, and the result would look whole. So what tells a file's content from another's is
 * remembered before DuckDB opens it, and compared once DuckDB has read it.
 */
import * as fs from "node:fs"
import { promisify } from "node:util"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ErrorCode, type QueryError, queryError } from "../QueryApi.ts"
import * as Words from "./Words.ts"

/** A served table whose files are read anew by each query. */
export interface Table {
  readonly name: string
  readonly files: ReadonlyArray<string>
}

/** A view or a macro that is stored in a database. Its name is in small letters. */
export interface Definition {
  readonly name: string
  readonly text: string
}

/** What tells a file's content from another's. */
export interface Version {
  readonly dev: bigint
  readonly ino: bigint
  readonly size: bigint
  readonly mtimeNs: bigint
}

/**
 * Whether a file was changed in place. One that was deleted, or replaced by another, was not: DuckDB reads on in the one
 * that it has opened. One that was not there before was being made.
 */
export const isChanged = (before: Version | undefined, after: Version | undefined): boolean => {
  if (after === undefined) return false
  if (before === undefined) return true
  const isSame = before.dev === after.dev && before.ino === after.ino
  return isSame && (before.size !== after.size || before.mtimeNs !== after.mtimeNs)
}

/** Knows what is read where something is named: a table, or a view or a macro that names some or their files. */
export class Served {
  private readonly tables: ReadonlyMap<string, Table>
  private readonly definitions: ReadonlyMap<string, ReadonlySet<Table>>
  /** Whether a client may have made a view or a macro that reads some of them, under whatever name. */
  private isExtended = false

  /** The tables by their names in small letters. */
  constructor(tables: ReadonlyMap<string, Table>, definitions: ReadonlyArray<Definition>) {
    this.tables = tables
    this.definitions = tables.size === 0 ? new Map() : reach(tables, definitions)
  }

  /** What is read by a query that has these names, in small letters. */
  named(names: ReadonlyArray<string>): ReadonlySet<Table> {
    if (this.isExtended && names.some((name) => !this.tables.has(name))) return new Set(this.tables.values())
    const found = new Set<Table>()
    if (this.tables.size === 0) return found
    for (const name of names) {
      const table = this.tables.get(name)
      if (table !== undefined) found.add(table)
      else for (const read of this.definitions.get(name) ?? []) found.add(read)
    }
    return found
  }

  /** What is read by a statement of which there is only the text. */
  mentioned(sql: string): ReadonlySet<Table> {
    if (this.isExtended) return new Set(this.tables.values())
    if (this.tables.size === 0) return new Set()
    return this.named([...this.tables.keys(), ...this.definitions.keys()].filter(Words.mentions(sql)))
  }

  /** A client's statement makes views or macros. */
  extend(sql: string): void {
    if (this.mentioned(sql).size > 0) this.isExtended = true
  }
}

/** What definitions read, by way of others too. */
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

/** As many files are held open while they are read, so that one that is deleted or replaced can still be looked at. */
const maxHeld = 16

/** As many are looked at at a time, each by one of libuv's threads: a file may be on a disk that is far away. */
const atOnce = 16

/** What one query reads. */
export interface Reading {
  /** Remembers the files of tables. Comes before DuckDB opens them. */
  readonly begin: (tables: ReadonlySet<Table>) => Effect.Effect<void>
  /** Fails if one of the files has changed since. Comes after DuckDB has read them. */
  readonly check: Effect.Effect<void, QueryError>
  /** Fails with the error of a query, or as `check`: an error that files give which changed is mostly not the reason. */
  readonly blamed: (error: QueryError) => Effect.Effect<never, QueryError>
  readonly served: Served
}

/** The descriptors that it holds are closed with the scope. */
export const open = (served: Served): Effect.Effect<Reading, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => new Files()),
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
        begin: (tables) => (tables.size === 0 ? Effect.void : Effect.promise(() => files.remember(tables))),
        check,
        blamed: (error) => Effect.andThen(blamable.has(error.code) ? check : Effect.void, Effect.fail(error))
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

interface File {
  readonly table: Table
  readonly path: string
  readonly held: number | undefined
  readonly version: Version | undefined
}

class Files {
  private readonly files: Array<File> = []
  private isClosed = false

  get isEmpty(): boolean {
    return this.files.length === 0
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

/** A pipe has no writer to wait for then. */
const openFlags = fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0)

/** `undefined` if it cannot be opened: DuckDB says what is wrong with it. */
const hold = (path: string): Promise<number | undefined> => openFile(path, openFlags).catch(() => undefined)

/** `undefined` if it is no file. */
const versionOf = (path: string, held: number | undefined): Promise<Version | undefined> =>
  new Promise((resolve) => {
    const done = (error: Error | null, found: fs.BigIntStats) =>
      resolve(error === null && found.isFile() ? found : undefined)
    if (held === undefined) fs.stat(path, { bigint: true }, done)
    else fs.fstat(held, { bigint: true }, done)
  })
