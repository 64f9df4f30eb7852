/**
 * The same of `dataconn/duckdb`, alone.
 */
import { DuckDbEngine } from "dataconn/duckdb"

export const engine = DuckDbEngine.layer({ sample: true })
export const made = DuckDbEngine.make({ sample: true })
