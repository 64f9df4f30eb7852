/**
 * Served files that change while a query reads them.
 */
import {
  appendFileSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Version } from "../../src/engine/duckdb/IllFiles.ts"
import * as Reading from "../../src/engine/duckdb/Reading.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import * as Folder from "../support/Folder.ts"
import { ask, type Engine, rows, told, withEngine } from "./duckdbEngine.ts"

const parquet = "application/vnd.apache.parquet"
const formats = ["application/json", "text/csv", "application/vnd.apache.arrow.stream", parquet] as const

/** More than DuckDB computes ahead. */
const many = 50_000

const line = (i: number) => `${i},${i % 97}\n`

/** A file that has been there for long, with a way to change it. */
const written = (path: string, content: string | Uint8Array): string => {
  writeFileSync(path, content)
  utimesSync(path, 1, 1)
  return path
}

const changes = {
  cut: (path: string) => truncateSync(path, readFileSync(path).length >> 1),
  "appended to": (path: string) => appendFileSync(path, "7,7\n"),
  "written anew": (path: string) => writeFileSync(path, readFileSync(path)),
  replaced: (path: string) => renameSync(written(`${path}.new`, "i,v\n1,1\n"), path),
  deleted: (path: string) => rmSync(path),
  "cut and deleted": (path: string) => {
    truncateSync(path, 100)
    rmSync(path)
  }
} as const

type Change = keyof typeof changes
const inPlace: ReadonlyArray<Change> = ["cut", "appended to", "written anew", "cut and deleted"]

/** A result during which something happens: once its first piece is there, or once it has been accepted. */
const during = (
  engine: Engine,
  query: string,
  happen: () => void,
  details: { readonly format?: QueryApi.Format; readonly when?: "accepted" } = {}
): Effect.Effect<number, QueryApi.QueryError> =>
  Effect.gen(function* () {
    const { format = "text/csv", when } = details
    const accepted = yield* engine.init(QueryApi.encodeRequest({ query, format }))
    if (when === "accepted") happen()
    let hasHappened = when === "accepted"
    let lines = 0
    yield* Stream.runForEach(accepted.chunks, (chunk) =>
      Effect.sync(() => {
        if (!hasHappened) happen()
        hasHappened = true
        for (const byte of chunk) if (byte === 0x0a) lines++
      })
    )
    return lines
  }).pipe(Effect.scoped, told)

const isRefused = (error: QueryApi.QueryError, table: string, label: string): void => {
  assert.deepInclude(error, { code: "execution_failed" as const, retryable: true }, label)
  assert.match(error.message, new RegExp(`^The file of the table ${table} was changed while`), label)
}

describe("a result whose file is", () => {
  const content = `i,v\n${Array.from({ length: many }, (_, i) => line(i)).join("")}`

  it.live.each(Object.keys(changes) as ReadonlyArray<Change>)("%s while it is read", (change) =>
    Effect.gen(function* () {
      const path = written(join(yield* Folder.make, "big.csv"), content)
      yield* withEngine({ tables: { Big: path } }, (engine) =>
        Effect.gen(function* () {
          const result = during(engine, "SELECT * FROM big", () => changes[change](path))
          if (!inPlace.includes(change)) return assert.strictEqual(yield* result, many + 1)
          isRefused(yield* Effect.flip(result), "Big", change)
        })
      )
    })
  )

  it.live("changed after it was accepted, in each format and by any way to read it", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make
      const path = written(join(folder, "a.csv"), "i,v\n1,2\n")
      const one = written(join(folder, "p1.csv"), "i,v\n1,2\n")
      written(join(folder, "p2.csv"), "i,v\n1,2\n")
      const tables = { a: path, "many files": join(folder, "p*.csv") }
      yield* withEngine({ tables, readWrite: true }, (engine) =>
        Effect.gen(function* () {
          const changed = (query: string, at: string, format: QueryApi.Format = "text/csv") =>
            Effect.flip(
              during(engine, query, () => appendFileSync(at, "3,4\n"), { format, when: "accepted" })
            )
          for (const format of formats) isRefused(yield* changed("FROM A", path, format), "a", format)
          yield* ask(engine, "CREATE TABLE own AS SELECT 1 AS i")
          assert.strictEqual(yield* during(engine, "FROM own", () => appendFileSync(path, "1,2\n")), 2)
          for (const query of [
            "SUMMARIZE a",
            "SELECT (SELECT max(i) FROM a) AS i",
            "EXPLAIN ANALYZE FROM a"
          ]) {
            isRefused(yield* changed(query, path), "a", query)
          }
          isRefused(yield* changed("INSERT INTO own SELECT i FROM a RETURNING i", path), "a", "INSERT")
          isRefused(yield* changed('INSERT INTO own SELECT i FROM "many files"', one), "many files", "INSERT")
          isRefused(yield* changed('FROM "MANY files"', one), "many files", "several")
          assert.deepStrictEqual(yield* rows(engine, "FROM own"), [{ i: 1 }])
          yield* ask(engine, "CREATE VIEW w AS FROM a")
          yield* ask(engine, 'CREATE MACRO "m M"() AS (SELECT max(i) FROM w)')
          isRefused(yield* changed("FROM w", path), "a", "a view")
          isRefused(yield* changed('SELECT "m M"() AS i', path), "a", "a macro")
        })
      )
    })
  )

  it.live("changed, and read by a view of a served database", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make
      const path = written(join(folder, "a.csv"), "i,v\n1,2\n")
      const database = join(folder, "b.db")
      yield* withEngine({ database, readWrite: true, allowExternalAccess: true }, (engine) =>
        Effect.gen(function* () {
          yield* ask(engine, `CREATE VIEW w AS FROM '${path}'`)
          yield* ask(engine, "CREATE VIEW x AS SELECT 1 AS i")
        })
      )
      yield* withEngine({ database, tables: { a: path } }, (engine) =>
        Effect.gen(function* () {
          const append = () => appendFileSync(path, "3,4\n")
          isRefused(yield* Effect.flip(during(engine, "FROM w", append, { when: "accepted" })), "a", "a view")
          assert.strictEqual(yield* during(engine, "FROM x", append, { when: "accepted" }), 2)
        })
      )
    })
  )
})

describe("a file", () => {
  const version = { dev: 1n, ino: 1n, size: 1n, mtimeNs: 1n }

  it.each<[what: string, before: Version | undefined, after: Version | undefined, is: boolean]>([
    ["the same", version, { ...version }, false],
    ["longer", version, { ...version, size: 2n }, true],
    ["written later", version, { ...version, mtimeNs: 2n }, true],
    ["another", version, { ...version, ino: 2n, size: 2n, mtimeNs: 2n }, false],
    ["on another device", version, { ...version, dev: 2n, size: 2n }, false],
    ["gone", version, undefined, false],
    ["new", undefined, version, true],
    ["never there", undefined, undefined, false]
  ])("that is %s", (_, before, after, is) => {
    assert.strictEqual(Reading.isChanged(before, after), is)
  })
})
