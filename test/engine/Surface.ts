/**
 * Everything that DuckDB offers by name, as statements: each of its functions with each number of arguments,
 * each of its settings, each pragma, and each statement that leaves something behind.
 */
import type { DuckDBConnection } from "@duckdb/node-api"
import * as Sentinel from "../../src/engine/duckdb/Sentinel.ts"
import * as Sql from "../../src/engine/duckdb/Sql.ts"

const rows = async (connection: DuckDBConnection, sql: string) =>
  (await connection.run(sql)).getRowObjectsJson() as unknown as ReadonlyArray<
    Readonly<Record<string, string>>
  >

/** A value of a parameter's type, in SQL. */
const valueOf = (type: string | null): string => {
  if (type === null || type === "ANY") return "1"
  if (type.endsWith("[]") || type.startsWith("LIST")) return `[${valueOf(type.replace(/(\[\]|^LIST)$/, ""))}]`
  if (type === "LAMBDA") return "lambda x: x"
  if (/^(VARCHAR|JSON|BLOB|BIT|STRUCT|MAP|ENUM|UNION)/.test(type)) return values[type] ?? "'1'"
  return values[type] ?? `CAST('1' AS ${type})`
}

const values: Readonly<Record<string, string>> = {
  BLOB: "'1'::BLOB",
  BIT: "'1'::BIT",
  MAP: "MAP {'a': 1}",
  STRUCT: "{'a': 1}",
  DATE: "DATE '2024-01-02'",
  TIMESTAMP: "TIMESTAMP '2024-01-02'",
  "TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ '2024-01-02'",
  TIME: "TIME '01:02:03'",
  "TIME WITH TIME ZONE": "TIMETZ '01:02:03'",
  INTERVAL: "INTERVAL 1 DAY",
  UUID: "'00000000-0000-0000-0000-000000000000'::UUID",
  T: "1",
  K: "1",
  V: "1"
}

/** Texts that a function may take for a name, a file or a statement. */
const texts = ["trades", "a.csv", "SELECT 1", "INSERT INTO trades FROM trades"]

interface FunctionForm {
  readonly name: string
  readonly kind: string
  readonly names: ReadonlyArray<string>
  readonly types: ReadonlyArray<string | null>
}

const calls = ({ kind, name, names, types }: FunctionForm): ReadonlyArray<string> => {
  const call = `"${name}"`
  if (kind === "pragma") {
    return [`PRAGMA ${name}`, `PRAGMA ${name}('trades')`, `CALL ${call}()`, `CALL ${call}('trades')`]
  }
  if (kind !== "table") {
    const values = types.map(valueOf).join(", ")
    const from = kind === "table_macro" ? "FROM" : "SELECT"
    return [`${from} ${call}(${values})`, `SELECT ${call}()`]
  }
  const positional = types.filter((_, index) => /^col\d+$/.test(names[index] ?? ""))
  const lists = texts.map((text) =>
    positional.map((type) => (type?.startsWith("VARCHAR") ? `'${text}'` : valueOf(type))).join(", ")
  )
  return Array.from(new Set(lists)).flatMap((list) => [`FROM ${call}(${list})`, `CALL ${call}(${list})`])
}

const changes = (setting: string, value: string): ReadonlyArray<string> => [
  `SET ${setting} = ${Sql.literal(value)}`,
  `SET GLOBAL ${setting} = 'true'`,
  `SET GLOBAL ${setting} = '7'`,
  `SET SESSION ${setting} = 'a.csv'`,
  `RESET ${setting}`,
  `PRAGMA ${setting} = 7`,
  `PRAGMA ${setting}`
]

/** Statements that leave something behind, at least in their own connection. */
const statements = [
  "CREATE TEMP TABLE left_behind AS SELECT 1 AS a",
  "CREATE TEMP VIEW left_behind AS SELECT 1 AS a",
  "CREATE TEMP MACRO left_behind(x) AS x",
  "CREATE TEMP SEQUENCE left_behind",
  "CREATE TYPE temp.left_behind AS ENUM ('a')",
  "CREATE SECRET left_behind (TYPE http)",
  "CREATE PERSISTENT SECRET left_behind (TYPE http)",
  "CREATE TEMPORARY SECRET left_behind (TYPE http)",
  "DROP SECRET IF EXISTS left_behind",
  "SET VARIABLE left_behind = 1",
  "RESET VARIABLE left_behind",
  "PREPARE left_behind AS SELECT 1",
  "DEALLOCATE left_behind",
  "BEGIN",
  "BEGIN TRANSACTION READ ONLY",
  "COMMIT",
  "ROLLBACK",
  "ATTACH ':memory:' AS left_behind",
  "ATTACH 'left_behind.duckdb'",
  "ATTACH 'left_behind.duckdb' (READ_ONLY)",
  "DETACH memory",
  `DETACH ${Sentinel.database}`,
  "USE memory",
  "USE temp",
  `USE ${Sentinel.database}`,
  "INSTALL httpfs",
  "LOAD httpfs",
  "LOAD 'left_behind'",
  "UPDATE EXTENSIONS",
  "CHECKPOINT",
  "FORCE CHECKPOINT",
  "VACUUM",
  "ANALYZE",
  "EXPORT DATABASE 'left_behind'",
  "IMPORT DATABASE 'left_behind'",
  "COPY (SELECT 1) TO 'left_behind.csv'",
  "COPY FROM DATABASE memory TO memory",
  "SELECT setseed(0.5)",
  "SELECT write_log('left behind')",
  "CALL enable_logging(level = 'trace')",
  "CALL enable_logging('QueryLog', storage = 'memory')",
  "CALL enable_logging(storage = 'stdout')",
  "FROM enable_logging(level = 'trace')",
  "CALL enable_profiling(format = 'json')",
  "FROM enable_profiling(save_location = 'left_behind.json')"
]

/** All of them, each once. */
export const all = async (connection: DuckDBConnection): Promise<ReadonlyArray<string>> => {
  const forms = await rows(
    connection,
    `SELECT function_name AS name, function_type AS kind, to_json(any_value(parameters)) AS names,
      to_json(any_value(parameter_types)) AS types
    FROM duckdb_functions() WHERE internal GROUP BY function_name, function_type, len(parameters) ORDER BY ALL`
  )
  const settings = await rows(connection, "SELECT name, value FROM duckdb_settings() ORDER BY ALL")
  return Array.from(
    new Set([
      ...forms.flatMap(({ kind = "", name = "", names, types }) =>
        calls({ kind, name, names: JSON.parse(names ?? "[]"), types: JSON.parse(types ?? "[]") })
      ),
      ...settings.flatMap(({ name = "", value }) => changes(name, String(value))),
      ...statements
    ])
  )
}

/** What a connection that has just been opened sees of the instance, which no query may change. */
export const state = async (connection: DuckDBConnection): Promise<Readonly<Record<string, string>>> => {
  const seen: Record<string, string> = {}
  for (const sql of [
    "SELECT name, value FROM duckdb_settings()",
    "SELECT count(*) AS entries FROM duckdb_logs()",
    "SELECT database_name, path, type, readonly FROM duckdb_databases()",
    "SELECT database_name, schema_name FROM duckdb_schemas()",
    "SELECT database_name, schema_name, table_name, comment FROM duckdb_tables()",
    "SELECT database_name, schema_name, view_name, comment FROM duckdb_views() WHERE NOT internal",
    "SELECT database_name, function_name FROM duckdb_functions() WHERE NOT internal",
    "SELECT database_name, type_name FROM duckdb_types() WHERE NOT internal",
    "SELECT database_name, sequence_name FROM duckdb_sequences()",
    "SELECT name FROM duckdb_secrets()",
    "SELECT name FROM duckdb_variables()",
    "SELECT name FROM duckdb_prepared_statements()",
    "SELECT count(*) FROM trades"
  ]) {
    for (const [index, row] of (await rows(connection, `${sql} ORDER BY ALL`)).entries()) {
      seen[`${/FROM (\w+)/.exec(sql)?.[1]} ${row["name"] ?? index}`] = JSON.stringify(row)
    }
  }
  return seen
}

/** What of it is no longer as it was. */
export const difference = (
  before: Readonly<Record<string, string>>,
  after: Readonly<Record<string, string>>
): ReadonlyArray<string> =>
  Array.from(new Set([...Object.keys(before), ...Object.keys(after)]))
    .filter((key) => before[key] !== after[key])
    .map((key) => `${before[key] ?? "nothing"} became ${after[key] ?? "nothing"}`)
