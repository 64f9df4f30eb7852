/**
 * What can be asked: the schemas, tables and columns of each target, as its back-end's `information_schema` tells.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as Asked from "./Asked.ts"
import type { Dispatcher, Origin } from "./Dispatcher.ts"
import * as GatewayError from "./GatewayError.ts"
import * as Negotiation from "./Negotiation.ts"

/** Most columns that are told of one target. */
export const maxColumns = 20_000

const query = `SELECT c.table_catalog AS "catalog", c.table_schema AS "schema", c.table_name AS "table",
  t.table_type AS "kind", c.column_name AS "column", c.data_type AS "type", c.is_nullable AS "nullable"
FROM information_schema.columns AS c JOIN information_schema.tables AS t
  ON c.table_catalog = t.table_catalog AND c.table_schema = t.table_schema AND c.table_name = t.table_name
WHERE c.table_schema NOT IN ('information_schema', 'pg_catalog')
ORDER BY c.table_catalog, c.table_schema, c.table_name, c.ordinal_position LIMIT ${maxColumns + 1}`

const Row = Schema.Struct({
  catalog: Schema.String,
  schema: Schema.String,
  table: Schema.String,
  kind: Schema.String,
  column: Schema.String,
  type: Schema.String,
  nullable: Schema.String
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

/** Rows in their order as schemas with their tables. Pure. */
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
      table = { name: row.table, kind: row.kind === "VIEW" ? "view" : "table", columns: [] }
      schema.tables.push(table)
    }
    table.columns.push({ name: row.column, type: row.type, nullable: row.nullable === "YES" })
  }
  return schemas
}

/** The catalogue of one target. A back-end that does not tell gives an error in its place. */
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
    GatewayError.make("backend_lost", "The back-end's information_schema is not as it should be")
  )
}, Effect.scoped)
