/**
 * What the gateway and the REPL ask DuckDB for, of a database file whose views have the names of DuckDB's own.
 */
import { join } from "node:path"
import { DuckDBInstance } from "@duckdb/node-api"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Catalogue from "../../src/cli/repl/Catalogue.ts"
import * as Catalog from "../../src/gateway/Catalog.ts"
import * as Folder from "../support/Folder.ts"
import { rows, withEngine } from "./duckdbEngine.ts"

const forged = ["duckdb_columns", "duckdb_tables"]

const file = Effect.gen(function* () {
  const path = join(yield* Folder.make, "forged.duckdb")
  yield* Effect.promise(async () => {
    const instance = await DuckDBInstance.create(path)
    const connection = await instance.connect()
    await connection.run("CREATE TABLE t (a INTEGER NOT NULL DEFAULT 3)")
    for (const name of forged) await connection.run(`CREATE VIEW ${name} AS SELECT 1 AS forged`)
    connection.disconnectSync()
    instance.closeSync()
  })
  return path
})

describe("a database with views that are called as DuckDB's own", () => {
  it.effect("is told of in the log, and has the tables and columns that it has", () =>
    Effect.gen(function* () {
      const log: Array<unknown> = []
      const database = yield* file
      const engine = withEngine({ database, readWrite: true }, (engine) =>
        Effect.gen(function* () {
          const found = (yield* rows(engine, Catalog.query)) as Parameters<typeof Catalog.group>[0]
          const view = (name: string) => ({
            name,
            kind: "view",
            columns: [{ name: "forged", type: "INTEGER", nullable: true }]
          })
          const table = {
            name: "t",
            kind: "table",
            columns: [{ name: "a", type: "INTEGER", nullable: false }]
          }
          assert.deepStrictEqual(Catalog.group(found) as unknown, [
            { catalog: "forged", name: "main", tables: [...forged.map(view), table] }
          ])
          assert.deepStrictEqual(yield* rows(engine, Catalogue.tablesSql), [
            ...forged.map((table) => ({ schema: "main", table, type: "VIEW" })),
            { schema: "main", table: "t", type: "BASE TABLE" }
          ])
          assert.deepStrictEqual(yield* rows(engine, Catalogue.columnsSql("main.T")), [
            { column: "a", type: "INTEGER", null: "NO", default: "3" }
          ])
        })
      )
      yield* Effect.provide(engine, Logger.layer([Logger.make(({ message }) => log.push(message))]))
      assert.include(String(log), "names of DuckDB's own views (duckdb_columns, duckdb_tables)")
    })
  )
})
