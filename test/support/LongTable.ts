/**
 * A database with a table `numbers` that a query takes long to read, and tells how far it is.
 */
import { join } from "node:path"
import { DuckDBInstance } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import * as Folder from "./Folder.ts"

/** DuckDB counts row groups: there are 33 of them. */
const rows = 4_000_000

/** Makes the database in a folder that goes with the scope, and gives the name of its file. */
export const make = Effect.gen(function* () {
  const database = join(yield* Folder.make, "long.duckdb")
  yield* Effect.promise(async () => {
    const instance = await DuckDBInstance.create(database)
    const connection = await instance.connect()
    await connection.run(`CREATE TABLE numbers AS SELECT range AS n FROM range(${rows})`)
    connection.disconnectSync()
    instance.closeSync()
  })
  return database
})

/** Takes some seconds to its only row, with one thread. */
export const query = `SELECT max(${"md5(".repeat(6)}n::VARCHAR${")".repeat(6)}) AS digest FROM numbers`
