/**
 * What it takes to judge clients' queries, made once for an engine.
 */
import type { DuckDBInstance } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import * as Failure from "./Failure.ts"
import type * as Instance from "./Instance.ts"
import type { BuiltIn, Permissions } from "./Judgement.ts"
import * as Opening from "./Opening.ts"
import type * as Parser from "./Parser.ts"

/** See {@link open}. */
export interface Guard {
  readonly parser: Parser.Parser
  readonly builtIn: BuiltIn
  readonly permissions: Permissions
  /** The names of DuckDB's own types, in small letters. */
  readonly types: ReadonlySet<string>
  /** Served tables and views that have columns of VARIANT, by their names in small letters. */
  readonly variants: ReadonlySet<string>
  /** The paths of the server, which no error and no plan is to show. */
  readonly hidden: Failure.Hidden
}

/** `hidden` comes before the paths that DuckDB itself knows of. */
export const open = Effect.fnUntraced(function* (
  instance: Instance.Instance,
  parser: Parser.Parser,
  permissions: Permissions,
  hidden: Failure.Hidden
): Effect.fn.Return<Guard, Failure.DuckDbError> {
  const catalog = yield* Effect.scoped(
    Effect.gen(function* () {
      const { native } = yield* Effect.mapError(
        instance.lease,
        ({ message }) => new Failure.DuckDbError({ setting: "database", message })
      )
      return yield* Opening.attempt("database", () => readCatalog(native))
    })
  )
  const hiding = catalog.macros.filter((name) => catalog.builtIn.has(name))
  if (hiding.length > 0) {
    yield* Effect.logWarning(
      `The database has macros with the names of DuckDB's own functions (${hiding.join(", ")}), so results may be wrong or fail: rename them`
    )
  }
  const texts = [...hidden, ...catalog.hidden]
  return {
    parser,
    permissions,
    builtIn: catalog.builtIn,
    types: catalog.types,
    variants: catalog.variants,
    hidden: [...texts, ...texts.map(inJson)]
  }
})

/** As plans in JSON have it. */
const inJson = ([path, replacement]: Failure.Hidden[number]): Failure.Hidden[number] => [
  JSON.stringify(path).slice(1, -1),
  replacement
]

/** A served database may have macros with the names of DuckDB's own functions. */
const functionsSql = `
  SELECT system.main.lower(function_name), system.main.list(DISTINCT function_type IN ('table', 'table_macro'))
  FROM system.main.duckdb_functions() WHERE internal GROUP BY 1`

const macrosSql = `
  SELECT DISTINCT system.main.lower(function_name) FROM system.main.duckdb_functions()
  WHERE NOT internal AND schema_name = 'main' ORDER BY 1`

const typesSql = "SELECT DISTINCT system.main.lower(type_name) FROM system.main.duckdb_types() WHERE internal"

const variantsSql = `
  SELECT DISTINCT system.main.lower(table_name) FROM system.main.duckdb_columns() WHERE NOT internal AND data_type ILIKE '%variant%'`

const pathsSql = `
  SELECT path, kind FROM (
    SELECT path, '<file>' AS kind FROM system.main.duckdb_databases()
    UNION ALL SELECT unnest(system.main.current_setting('allowed_paths')), '<file>'
    UNION ALL SELECT system.main.current_setting('temp_directory'), '<directory>'
  ) WHERE path != ''`

const readCatalog = async (
  instance: DuckDBInstance
): Promise<
  Pick<Guard, "builtIn" | "types" | "variants" | "hidden"> & { readonly macros: ReadonlyArray<string> }
> => {
  const connection = await instance.connect()
  try {
    const functions = await (await connection.runAndReadAll(functionsSql)).getRowsJS()
    const macros = await (await connection.runAndReadAll(macrosSql)).getRowsJS()
    const types = await (await connection.runAndReadAll(typesSql)).getRowsJS()
    const variants = await (await connection.runAndReadAll(variantsSql)).getRowsJS()
    const paths = await (await connection.runAndReadAll(pathsSql)).getRowsJS()
    return {
      builtIn: new Map(functions as Array<[string, Array<boolean>]>),
      macros: macros.map(([name]) => String(name)),
      types: new Set(types.map(([name]) => String(name))),
      variants: new Set(variants.map(([name]) => String(name))),
      hidden: paths as Array<[string, string]>
    }
  } finally {
    connection.disconnectSync()
  }
}
