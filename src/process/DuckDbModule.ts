/**
 * Where the module is that processes and threads load to have DuckDB: `DuckDb`, as source or compiled.
 */
export const url = new URL(import.meta.url.replace(/DuckDbModule(\.[jt]s)$/, "DuckDb$1"))
