/**
 * The row that comes after the last one of every streamed result.
 *
 * The bindings do not tell a stream that failed from one that ended, but a failed stream never reaches the
 * sentinel, so a result is whole exactly when the sentinel came. It comes last because DuckDB preserves the
 * order of `UNION ALL` branches while `preserve_insertion_order` is on, its default, which the engine locks.
 *
 * The row is that of a real table: a `UNION ALL` with rows out of nothing (`SELECT NULL`, `VALUES`) has no
 * batch index, and DuckDB would compute the whole result on one thread.
 */

import { randomUUID } from "node:crypto"

/**
 * A database in memory beside whatever the instance serves. DuckDB lists it nowhere, and nothing of a client's has
 * its name.
 */
export const database = `_${randomUUID().replaceAll("-", "")}`

/** Where the row is. */
export const table = `${database}.main.${database}`

/** Makes the table, before the instance is sealed. */
export const statements: ReadonlyArray<string> = [
  `ATTACH ':memory:' AS ${database} (READ_WRITE, HIDDEN)`,
  `CREATE TABLE ${table} AS SELECT true AS last`
]
