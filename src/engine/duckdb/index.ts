/**
 * `dataconn/duckdb`: the embedded engine.
 */
export type { DuckDbOptions } from "./Database.ts"
export * as DuckDbEngine from "./DuckDbEngine.ts"
export { DuckDbError } from "./Failure.ts"
