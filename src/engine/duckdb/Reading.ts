/**
 * Whether a served file was changed in place while a query read it.
 *
 * DuckDB reads a file to wherever its end is by then. A CSV or JSON file that is cut, written anew or appended to
 * meanwhile has nothing that tells, and the result would look whole. So what tells a file's content from another's is
 * remembered before DuckDB opens it, and compared once DuckDB has read it.
 */
import { closeSync, fstatSync, openSync, statSync } from "node:fs"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ErrorCode, type QueryError, queryError } from "../QueryApi.ts"
import * as Steps from "./Steps.ts"
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
  const others = definitions.filter(({ name }) => !tables.has(name))
  for (const { name, text } of others) {
    const isMentioned = Words.mentions(text)
    const isRead = (own: string, { files }: Table) =>
      isMentioned(own) || files.some((file) => text.includes(file))
    const found = [...tables].filter(([own, table]) => isRead(own, table)).map(([, table]) => table)
    read.set(name, new Set([...(read.get(name) ?? []), ...found]))
  }
  for (let isGrowing = true; isGrowing; ) {
    isGrowing = false
    for (const { name, text } of others) {
      const found = read.get(name) as Set<Table>
      const { size } = found
      for (const other of [...read.keys()].filter(Words.mentions(text))) {
        for (const table of read.get(other) ?? []) found.add(table)
      }
      if (found.size > size) isGrowing = true
    }
  }
  return read
}

/** As many files are held open while they are read, so that one that is deleted or replaced can still be looked at. */
const maxHeld = 64

/** Files that are looked at in one step, some µs each. */
const stepFiles = 64

interface File {
  readonly table: Table
  readonly path: string
  readonly descriptor: number | undefined
  readonly version: Version | undefined
}

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
      Effect.sync(() => [] as File[]),
      (files) => Effect.sync(() => files.forEach(close))
    ),
    (files): Reading => {
      const check = Effect.suspend(() =>
        files.length === 0 ? Effect.void : Effect.flatMap(Steps.run(changed(files)), failed)
      )
      return {
        served,
        begin: (tables) => (tables.size === 0 ? Effect.void : Steps.run(remember(tables, files))),
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

function* remember(tables: ReadonlySet<Table>, files: Array<File>): Steps.Steps<void> {
  for (const table of tables) {
    for (const path of table.files) {
      const descriptor = files.length < maxHeld ? hold(path) : undefined
      files.push({ table, path, descriptor, version: versionOf(path, descriptor) })
      if (files.length % stepFiles === 0) yield
    }
  }
}

function* changed(files: ReadonlyArray<File>): Steps.Steps<Table | undefined> {
  for (const [index, { descriptor, path, table, version }] of files.entries()) {
    if (isChanged(version, versionOf(path, descriptor))) return table
    if (index % stepFiles === stepFiles - 1) yield
  }
  return undefined
}

const bigint = { bigint: true } as const

/** Nothing but a file: opening a pipe would wait for its writer, or take what is in it. */
const hold = (path: string): number | undefined => {
  try {
    return statSync(path).isFile() ? openSync(path, "r") : undefined
  } catch {
    // DuckDB says what is wrong with it.
    return undefined
  }
}

const versionOf = (path: string, descriptor: number | undefined): Version | undefined => {
  try {
    const found = descriptor === undefined ? statSync(path, bigint) : fstatSync(descriptor, bigint)
    return found.isFile() ? found : undefined
  } catch {
    return undefined
  }
}

const close = ({ descriptor }: File): void => {
  if (descriptor !== undefined) closeSync(descriptor)
}
