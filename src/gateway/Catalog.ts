/**
 * The catalogue: the schemas, tables and columns of each target, read from its back-end's DuckDB. The query
 * calls functions by qualified names, since a view of the database with the name of one of DuckDB's own would
 * hide that.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as Asked from "./Asked.ts"
import type { Dispatcher, Origin } from "./Dispatcher.ts"
import * as GatewayError from "./GatewayError.ts"
import * as Negotiation from "./Negotiation.ts"

/** The maximum number of columns reported for one target. */
export const maxColumns = 20_000

export const query = `SELECT c.database_name AS "catalog", c.schema_name AS "schema", c.table_name AS "table",
  CASE WHEN t.table_name IS NULL THEN 'view' ELSE 'table' END AS "kind",
  c.column_name AS "column", c.data_type AS "type", c.is_nullable AS "nullable"
FROM system.main.duckdb_columns() AS c LEFT JOIN system.main.duckdb_tables() AS t
  ON c.database_name = t.database_name AND c.schema_name = t.schema_name AND c.table_name = t.table_name
WHERE NOT c.internal
ORDER BY c.database_name, c.schema_name, c.table_name, c.column_index LIMIT ${maxColumns + 1}`

const Row = Schema.Struct({
  catalog: Schema.String,
  schema: Schema.String,
  table: Schema.String,
  kind: Schema.Literals(["table", "view"]),
  column: Schema.String,
  type: Schema.String,
  nullable: Schema.Boolean
})
type Row = typeof Row.Type

const decodeRows = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Array(Row)))

interface Table {
  readonly name: string
  readonly kind: "table" | "view"
  readonly columns: Array<{ readonly name: string; readonly type: string; readonly nullable: boolean }>
}

interface Named {
  readonly catalog: string
  readonly name: string
  readonly tables: Array<Table>
}

/** Groups ordered rows as schemas with their tables. Pure. */
export const group = (rows: ReadonlyArray<Row>): ReadonlyArray<Named> => {
  const schemas: Array<Named> = []
  for (const row of rows) {
    let schema = schemas.at(-1)
    if (schema?.name !== row.schema || schema.catalog !== row.catalog) {
      schema = { catalog: row.catalog, name: row.schema, tables: [] }
      schemas.push(schema)
    }
    let table = schema.tables.at(-1)
    if (table?.name !== row.table) {
      table = { name: row.table, kind: row.kind, columns: [] }
      schema.tables.push(table)
    }
    table.columns.push({ name: row.column, type: row.type, nullable: row.nullable })
  }
  return schemas
}

/** The catalogue of one target. If a back-end fails to provide it, an error takes its place. */
export const ofTarget = (dispatcher: Dispatcher, target: string, origin: Origin) =>
  read(dispatcher, target, origin).pipe(
    Effect.map((rows) => ({
      name: target,
      schemas: group(rows.slice(0, maxColumns)),
      isComplete: rows.length <= maxColumns
    })),
    Effect.catch((error) =>
      Effect.succeed({ name: target, schemas: [], isComplete: false, error: GatewayError.toJson(error) })
    )
  )

const read = Effect.fnUntraced(function* (dispatcher: Dispatcher, target: string, origin: Origin) {
  const asked: Asked.Asked = {
    query,
    format: Negotiation.formats.json,
    whyFormat: "The catalog needs JSON",
    target,
    conversation: undefined,
    queryId: undefined,
    waitsForEnd: true,
    receipt: false,
    readOnly: true,
    body: { query }
  }
  const { pull } = yield* dispatcher.start(asked, origin)
  const text = yield* Stream.mkString(Stream.decodeText(Stream.fromPull(Effect.succeed(pull))))
  return yield* Effect.mapError(decodeRows(text), () =>
    GatewayError.make("backend_lost", "The back-end's tables and columns are not told as DuckDB does")
  )
}, Effect.scoped)
