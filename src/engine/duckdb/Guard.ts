/**
 * The data for judging clients' queries, read once for an engine.
 */
import type { DuckDBInstance } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import type { Database } from "./Database.ts"
import * as Failure from "./Failure.ts"
import type { BuiltIn, Permissions } from "./Judgement.ts"
import * as Macros from "./Macros.ts"
import * as Opening from "./Opening.ts"
import type * as Parser from "./Parser.ts"
import type * as Reading from "./Reading.ts"

/** See {@link open}. */
export interface Guard {
  readonly parser: Parser.Parser
  readonly macros: Macros.Count
  readonly builtIn: BuiltIn
  readonly permissions: Permissions
  /** The lower-case names of DuckDB's own types. */
  readonly types: ReadonlySet<string>
  /** The lower-case names of DuckDB's own views that need no schema. */
  readonly views: ReadonlySet<string>
  /** The lower-case names of databases and of DuckDB's own schemas except `main`. */
  readonly schemas: ReadonlySet<string>
  /** The lower-case names of served tables and views that have columns of VARIANT. */
  readonly variants: ReadonlySet<string>
  /** The lower-case names of functions with other results each time, if changes are logged. */
  readonly unstable: ReadonlySet<string>
  /** The views and macros of the database when it was opened. */
  readonly definitions: ReadonlyArray<Reading.Definition>
  /** The present lower-case names of objects with a text of their own, in which a query may fail. */
  readonly defined: (kind: Defined) => Effect.Effect<ReadonlySet<string>, Failure.DuckDbError>
  /** The paths of the server, which no error and no plan may show. */
  readonly hidden: Failure.Hidden
}

/**
 * Views, except those on served files; or also macros, and tables that have defaults, generated columns,
 * checks or indexes.
 */
export type Defined = "views" | "all"

/** `hidden` precedes the paths that DuckDB itself knows. */
export const open = Effect.fnUntraced(function* (
  { instance, isLogged, tables }: Pick<Database, "instance" | "isLogged" | "tables">,
  parser: Parser.Parser,
  permissions: Permissions,
  hidden: Failure.Hidden
): Effect.fn.Return<Guard, Failure.DuckDbError> {
  const read = <A>(ask: (rows: Rows) => Promise<A>) =>
    Effect.scoped(
      Effect.flatMap(
        Effect.mapError(
          instance.lease,
          ({ message }) => new Failure.DuckDbError({ setting: "database", message })
        ),
        ({ native }) => Opening.attempt("database", () => asking(native, ask))
      )
    )
  const catalog = yield* read(readCatalog)
  yield* warn(
    "macros with the names of DuckDB's own functions",
    catalog.macros.filter((name) => catalog.builtIn.has(name))
  )
  yield* warn("tables or views with the names of DuckDB's own views", catalog.hiding)
  const texts = [...hidden, ...catalog.hidden]
  return {
    parser,
    macros: Macros.make({ parser, builtIn: catalog.builtIn }, !permissions.readWrite),
    permissions,
    builtIn: catalog.builtIn,
    types: catalog.types,
    views: catalog.views,
    schemas: catalog.schemas,
    variants: catalog.variants,
    unstable: isLogged ? catalog.unstable : new Set(),
    definitions: catalog.definitions,
    defined: (kind) =>
      read(async (rows) => {
        const names = (await rows(definedSql[kind])).map(([name]) => String(name))
        return new Set(names.filter((name) => !tables.has(name)))
      }),
    hidden: [...texts, ...texts.map(inJson)]
  }
})

const warn = (what: string, hiding: ReadonlyArray<string>): Effect.Effect<void> =>
  hiding.length === 0
    ? Effect.void
    : Effect.logWarning(
        `The database has ${what} (${hiding.join(", ")}), so results may be wrong or fail: rename them`
      )

/** The escaped form in JSON plans. */
const inJson = ([path, replacement]: Failure.Hidden[number]): Failure.Hidden[number] => [
  JSON.stringify(path).slice(1, -1),
  replacement
]

/**
 * DuckDB's own, of which a served database may have macros with the same names, and those macros. DuckDB writes all of
 * them down, bodies included, for each query about them, which takes some 20 ms.
 */
const functionsSql = `
  SELECT
    system.main.lower(function_name) AS name,
    system.main.list(DISTINCT function_type IN ('table', 'table_macro')),
    NOT internal,
    CASE WHEN NOT internal THEN macro_definition END,
    NOT internal AND schema_name = 'main'
  FROM system.main.duckdb_functions() GROUP BY ALL ORDER BY name`

const viewDefinitionsSql = `
  SELECT system.main.lower(view_name), sql FROM system.main.duckdb_views() WHERE NOT internal ORDER BY 1`

const viewNamesSql = "SELECT system.main.lower(view_name) FROM system.main.duckdb_views() WHERE NOT internal"

const definedSql: Readonly<Record<Defined, string>> = {
  views: viewNamesSql,
  all: `${viewNamesSql}
    UNION ALL SELECT system.main.lower(function_name) FROM system.main.duckdb_functions() WHERE NOT internal
    UNION ALL SELECT system.main.lower(table_name) FROM system.main.duckdb_columns()
      WHERE NOT internal AND column_default IS NOT NULL
    UNION ALL SELECT system.main.lower(table_name) FROM system.main.duckdb_constraints()
      WHERE constraint_type = 'CHECK'
    UNION ALL SELECT system.main.lower(table_name) FROM system.main.duckdb_indexes()`
}

const typesSql = "SELECT DISTINCT system.main.lower(type_name) FROM system.main.duckdb_types() WHERE internal"

/** Views of `information_schema` are only found there, so that a table may be called `views`. */
const viewsSql = `
  SELECT DISTINCT system.main.lower(view_name) FROM system.main.duckdb_views()
  WHERE internal AND schema_name IN ('main', 'pg_catalog')`

/** Tables and views that are not DuckDB's own. */
const relationsSql = `
  SELECT system.main.lower(table_name), schema_name = 'main' FROM system.main.duckdb_tables() WHERE NOT internal
  UNION SELECT system.main.lower(view_name), schema_name = 'main' FROM system.main.duckdb_views() WHERE NOT internal
  ORDER BY 1`

/** `CREATE SCHEMA IF NOT EXISTS main` does nothing. */
const schemasSql = `
  SELECT DISTINCT system.main.lower(name) FROM (
    SELECT database_name AS name FROM system.main.duckdb_databases()
    UNION ALL SELECT schema_name FROM system.main.duckdb_schemas() WHERE internal
  ) WHERE name != 'main'`

const variantsSql = `
  SELECT DISTINCT system.main.lower(table_name) FROM system.main.duckdb_columns() WHERE NOT internal AND data_type ILIKE '%variant%'`

const unstableSql = `
  SELECT DISTINCT system.main.lower(function_name) FROM system.main.duckdb_functions()
  WHERE internal AND stability IN ('VOLATILE', 'CONSISTENT_WITHIN_QUERY') OR function_name IN ('ago', 'age')`

const pathsSql = `
  SELECT path, kind FROM (
    SELECT path, '<file>' AS kind FROM system.main.duckdb_databases()
    UNION ALL SELECT unnest(system.main.current_setting('allowed_paths')), '<file>'
    UNION ALL SELECT system.main.current_setting('temp_directory'), '<directory>'
  ) WHERE path != ''`

type Rows = (sql: string) => Promise<ReadonlyArray<ReadonlyArray<unknown>>>

/** Queries an instance, on a separate connection. */
const asking = async <A>(instance: DuckDBInstance, ask: (rows: Rows) => Promise<A>): Promise<A> => {
  const connection = await instance.connect()
  try {
    return await ask(async (sql) => (await connection.runAndReadAll(sql)).getRowsJS())
  } finally {
    connection.disconnectSync()
  }
}

const readCatalog = async (
  rows: Rows
): Promise<
  Pick<
    Guard,
    "builtIn" | "types" | "views" | "schemas" | "variants" | "unstable" | "definitions" | "hidden"
  > & {
    readonly macros: ReadonlyArray<string>
    readonly hiding: ReadonlyArray<string>
  }
> => {
  const names = async (sql: string) => (await rows(sql)).map(([name]) => String(name))
  const builtIn = new Map<string, ReadonlyArray<boolean>>()
  const macros = new Set<string>()
  const definitions: Array<Reading.Definition> = []
  for (const [name, isTable, isTheirs, text, isMain] of await rows(functionsSql)) {
    if (isTheirs === true) definitions.push({ name: String(name), text: String(text) })
    else builtIn.set(String(name), isTable as Array<boolean>)
    if (isMain === true) macros.add(String(name))
  }
  for (const [name, text] of await rows(viewDefinitionsSql)) {
    definitions.push({ name: String(name), text: String(text) })
  }
  const views = new Set(await names(viewsSql))
  const relations = await rows(relationsSql)
  const inMain = relations.filter(([, isMain]) => isMain === true).map(([name]) => String(name))
  return {
    builtIn,
    macros: [...macros],
    definitions,
    types: new Set(await names(typesSql)),
    views,
    hiding: inMain.filter((name) => views.has(name)),
    schemas: new Set(await names(schemasSql)),
    // DuckDB binds all its own views to name their columns.
    variants: new Set(relations.length === 0 ? [] : await names(variantsSql)),
    unstable: new Set(await names(unstableSql)),
    hidden: (await rows(pathsSql)) as Array<[string, string]>
  }
}
