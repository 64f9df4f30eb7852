/**
 * DuckDB's own `COPY` of the measured table to nowhere, in a process of its own: each message says in which
 * format, and the answer is how long it took, in milliseconds.
 */
import { DuckDBInstance } from "@duckdb/node-api"

const [, , database = ""] = process.argv

const instance = await DuckDBInstance.create(database, { access_mode: "READ_ONLY" })
const connection = await instance.connect()

process.on("disconnect", () => process.exit())
process.on("message", async (options: string) => {
  const started = performance.now()
  await connection.run(`COPY measured TO '/dev/null' (${options})`)
  process.send?.(performance.now() - started)
})
