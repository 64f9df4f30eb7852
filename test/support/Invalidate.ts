/**
 * Loaded before a program, or by a test: gives the instance that is served up as DuckDB does after a fatal error.
 * The check of statements refuses what clients could do it with.
 */
import { DuckDBInstance } from "@duckdb/node-api"

/** DuckDB takes its own error in this for one that may have spoilt the database. */
export const fatal = "SELECT reservoir_quantile(1.5::DECIMAL(38,37), [])"

let latest: DuckDBInstance | undefined
const create = DuckDBInstance.create
DuckDBInstance.create = async (...args) => {
  const instance = await create.apply(DuckDBInstance, args)
  // The first that has a place for secrets is the served one: others parse, or tell an error again.
  if (args[1]?.["secret_directory"] !== undefined) latest ??= instance
  return instance
}

/** The next instance that is created is the one that counts. */
export const forget = (): void => {
  latest = undefined
}

export const invalidate = async (): Promise<void> => {
  const connection = await latest?.connect()
  await connection?.run(fatal).catch(() => {})
}

process.on("SIGUSR2", () => void invalidate().then(() => process.stdout.write("invalidated\n")))
