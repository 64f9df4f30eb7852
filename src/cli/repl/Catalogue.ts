/**
 * Asks a server for its tables, columns and keywords, for completion and for the commands that show them. The
 * queries call DuckDB's functions by their qualified names, which no view of a database can replace. A server
 * without them offers nothing.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as Client from "../../client/Client.ts"
import * as Completion from "./Completion.ts"

/** Most columns and keywords that are kept. */
const maxRows = 20_000

/** How long a user who pressed Tab waits. */
const patience = "2 seconds"

const namesSql = `
  SELECT schema_name AS "schema", table_name AS "table", list(column_name ORDER BY column_index) AS "columns"
  FROM (FROM system.main.duckdb_columns() WHERE NOT internal LIMIT ${maxRows})
  GROUP BY ALL ORDER BY ALL`

const keywordsSql = `SELECT keyword_name AS "keyword" FROM system.main.duckdb_keywords() ORDER BY 1 LIMIT ${maxRows}`

const Table = Schema.Struct({
  schema: Schema.String,
  table: Schema.String,
  columns: Schema.Array(Schema.String)
})

const Keyword = Schema.Struct({ keyword: Schema.String })

/** The server's catalogue, or an empty one if it takes longer than two seconds. */
export const load = (client: Client.ClientService): Effect.Effect<Completion.Catalogue> =>
  Effect.gen(function* () {
    const tables = yield* Stream.runCollect(client.rows({ query: namesSql }, Table))
    const keywords = yield* Stream.runCollect(client.rows({ query: keywordsSql }, Keyword))
    return {
      tables: tables.map(({ columns, schema, table }) => ({ schema, name: table, columns })),
      keywords: keywords.map(({ keyword }) => keyword)
    }
  }).pipe(
    Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.succeed(Completion.empty) }),
    Effect.orElseSucceed(() => Completion.empty)
  )

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

/** A query for the tables of a server. */
export const tablesSql = `SELECT DISTINCT c.schema_name AS "schema", c.table_name AS "table",
  CASE WHEN t.table_name IS NULL THEN 'VIEW' ELSE 'BASE TABLE' END AS "type"
FROM system.main.duckdb_columns() AS c LEFT JOIN system.main.duckdb_tables() AS t
  ON c.database_name = t.database_name AND c.schema_name = t.schema_name AND c.table_name = t.table_name
WHERE NOT c.internal ORDER BY ALL`

/** The parts of a name: `table`, `schema.table`, with quotes or without. */
const nameParts = (name: string): ReadonlyArray<string> =>
  Array.from(name.matchAll(/"((?:[^"]|"")*)"|[^."]+/g), ([whole, inQuotes]) =>
    inQuotes === undefined ? whole : inQuotes.replaceAll('""', '"')
  )

/** The condition that selects the columns of a table, by its name. */
const ofTable = (name: string): string => {
  const [table = "", schema] = nameParts(name).toReversed()
  const inSchema = schema === undefined ? "" : ` AND lower(schema_name) = lower(${literal(schema)})`
  return `NOT internal AND lower(table_name) = lower(${literal(table)})${inSchema}`
}

/** A query for the columns of a table, by its name. */
export const columnsSql = (name: string): string =>
  `SELECT column_name AS "column", data_type AS "type",
  CASE WHEN is_nullable THEN 'YES' ELSE 'NO' END AS "null", column_default AS "default"
FROM system.main.duckdb_columns() WHERE ${ofTable(name)}
ORDER BY schema_name, table_name, column_index`

/** Whether there is a table of this name. */
export const hasTable = (client: Client.ClientService, name: string) =>
  Effect.map(
    Stream.runHead(
      client.rows({
        query: `SELECT 1 AS one FROM system.main.duckdb_columns() WHERE ${ofTable(name)} LIMIT 1`
      })
    ),
    Option.isSome
  )
