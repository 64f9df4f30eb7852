/**
 * Judges a statement by the plan that DuckDB makes of it.
 */
import { StatementType } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import { type QueryError, queryError } from "../QueryApi.ts"
import * as Failure from "./Failure.ts"
import type { Guard } from "./Guard.ts"
import * as Judgement from "./Judgement.ts"
import type { Session } from "./Session.ts"
import * as Sql from "./Sql.ts"
import * as Variant from "./Variant.ts"
import type * as Words from "./Words.ts"

/** The kinds of statements whose plans are judged. */
export const kinds: ReadonlySet<StatementType> = new Set([
  StatementType.CREATE,
  StatementType.CREATE_FUNC,
  StatementType.DROP,
  StatementType.ALTER
])

/** The names that statements create, by the operators of their plans: the place of the name, and its kind. */
const naming = {
  LOGICAL_CREATE_MACRO: ["$.plans[0].info.name", "function"],
  LOGICAL_CREATE_TYPE: ["$.plans[0].info.name", "type"],
  LOGICAL_CREATE_TABLE: ["$.plans[0].info.table", "view"],
  LOGICAL_CREATE_VIEW: ["$.plans[0].info.view_name", "view"],
  LOGICAL_CREATE_SCHEMA: ["$.plans[0].info.schema", "schema"],
  ALTER_TABLE: ["$.plans[0].info.new_table_name", "view"],
  ALTER_VIEW: ["$.plans[0].info.new_view_name", "view"]
} as const

const planPaths = Sql.list([
  "$.plans[0].type",
  "$.plans[0].info.type",
  ...Object.values(naming).map(([path]) => path)
])

/** A type made from a query names these, which are names of types too. */
const enumWords: ReadonlyArray<string> = ["type", "enum"]

/**
 * Judges properties that only the plan shows. Secrets and names of databases belong to the whole instance.
 * Functions, types and views with the names of DuckDB's own would replace these in the queries of all others,
 * and in the SQL that the engine makes of them. A schema with the name of a database makes names ambiguous.
 */
export const judge = Effect.fnUntraced(function* (
  { builtIn, schemas, types, views }: Guard,
  session: Session,
  sql: string,
  words: Words.Words
): Effect.fn.Return<void, QueryError> {
  const view = [...words.all].find((name) => views.has(name))
  if (view === undefined && !/secret|variant|macro|function|type|database|schema/i.test(sql)) return
  const serialized = `system.main.json_serialize_plan(${Sql.literal(sql)})`
  const [plan, parts] = yield* Effect.mapError(
    session.call(async (connection) => {
      const query = `SELECT plan, system.main.json_extract_string(plan, ${planPaths}) FROM (SELECT ${serialized} AS plan)`
      return (await connection.runAndReadAll(query)).getRowsJS()[0] ?? []
    }),
    (failure) => Failure.toReject(failure, undefined)
  )
  if (String(plan).includes("LOGICAL_CREATE_SECRET")) return yield* notForAll("CREATE SECRET")
  if (Variant.isTypeIn(String(plan))) return yield* Judgement.noVariant
  const [operator, kind, ...names] = parts as ReadonlyArray<string | null>
  if (operator === null) {
    const isType = enumWords.every((word) => words.all.has(word))
    const type = isType
      ? [...words.all].find((name) => types.has(name) && !enumWords.includes(name))
      : undefined
    const name = view ?? type
    return name === undefined ? undefined : yield* noPlan(name)
  }
  if (kind === "SECRET_ENTRY") return yield* notForAll("DROP SECRET")
  if (operator === "LOGICAL_ALTER" && kind === "ALTER_DATABASE") return yield* notForAll("ALTER DATABASE")
  const own = { function: builtIn, type: types, view: views, schema: schemas }
  for (const [at, [by, [, what]]] of Object.entries(naming).entries()) {
    const name = names[at]?.toLowerCase()
    if (name !== undefined && (by === operator || by === kind) && own[what].has(name))
      return yield* taken(what, name)
  }
})

/** Without a type for a parameter, DuckDB makes no plan. */
const noPlan = (name: string): QueryError =>
  queryError(
    "not_allowed",
    `A statement with parameters that names ${name} cannot be judged: write their values into it, or cast them`
  )

const notForAll = (statement: string): QueryError =>
  queryError("not_allowed", `${statement} statements are not allowed`)

const taken = (what: "function" | "type" | "view" | "schema", name: string): QueryError =>
  queryError(
    "not_allowed",
    what === "schema"
      ? `${name} is the name of a database or of a schema of DuckDB's own; choose another name`
      : `DuckDB has a ${what} of its own that is called ${name}; choose another name`
  )
