/**
 * The URL of the module that processes and threads load for DuckDB: `DuckDb`, as source or compiled.
 */
export const url = new URL(import.meta.url.replace(/DuckDbModule(\.[jt]s)$/, "DuckDb$1"))
