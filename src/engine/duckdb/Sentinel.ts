/**
 * The row after the last one of every streamed result.
 *
 * The bindings do not distinguish a failed stream from a complete one, but a failed stream never reaches the
 * sentinel, so a result is complete exactly if the sentinel came. It comes last because DuckDB preserves the
 * order of `UNION ALL` branches while `preserve_insertion_order` is on, its default, which the engine locks.
 *
 * The row belongs to a real table: a `UNION ALL` with constant rows (`SELECT NULL`, `VALUES`) has no batch
 * index, and DuckDB would compute the whole result on one thread.
 */

import { randomUUID } from "node:crypto"

/**
 * A database in memory beside the served data. DuckDB lists it nowhere, and no object of a
 * client has its name.
 */
export const database = `_${randomUUID().replaceAll("-", "")}`

/** The table of the row. */
export const table = `${database}.main.${database}`

/** Makes the table, before the instance is sealed. */
export const statements: ReadonlyArray<string> = [
  `ATTACH ':memory:' AS ${database} (READ_WRITE, HIDDEN)`,
  `CREATE TABLE ${table} AS SELECT true AS last`
]
