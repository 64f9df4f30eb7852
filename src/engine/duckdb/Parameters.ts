/**
 * Binds the parameters of a request, JSON values, to a prepared statement.
 *
 * Scalars take the narrowest DuckDB type that holds them (INTEGER, BIGINT, DOUBLE, BOOLEAN, VARCHAR), lists
 * become LISTs and objects STRUCTs. DuckDB then casts them to what the statement wants, as it does with
 * literals.
 */
import {
  BIGINT,
  BOOLEAN,
  DOUBLE,
  type DuckDBConnection,
  type DuckDBMaterializedResult,
  type DuckDBPreparedStatement,
  type DuckDBResult,
  type DuckDBType,
  type DuckDBValue,
  INTEGER,
  LIST,
  listValue,
  SQLNULL,
  STRUCT,
  structValue,
  VARCHAR
} from "@duckdb/node-api"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import { type Parameters, type QueryError, queryError } from "../QueryApi.ts"

/** A parameter as DuckDB takes it, under the name that the statement has for it (`"1"` for the first `?`). */
export interface Bound {
  readonly name: string
  readonly type: DuckDBType
  readonly value: DuckDBValue
}

/**
 * The statement's parameters by name, with their indexes. DuckDB names the parameter at an index at once and
 * searches for the index of a name, which thousands of parameters would feel.
 *
 * `undefined` if the statement leaves a number out, as `SELECT $2` does: DuckDB has no names then.
 */
const indexesOf = (prepared: DuckDBPreparedStatement): ReadonlyMap<string, number> | undefined => {
  const indexes = new Map<string, number>()
  for (let index = 1; index <= prepared.parameterCount; index++) {
    try {
      indexes.set(prepared.parameterName(index), index)
    } catch {
      return undefined
    }
  }
  return indexes
}

/**
 * Matches what the statement wants with what the request brought.
 *
 * **Details**
 *
 * Fails with `bad_request` naming the parameter: one is missing, one is too many, or its value has no DuckDB
 * type (a list of mixed types). Fails with `invalid_query` if the query leaves out a number.
 */
export const match = (
  prepared: DuckDBPreparedStatement,
  parameters: Parameters
): Result.Result<ReadonlyArray<Bound>, QueryError> => {
  const wanted = indexesOf(prepared)
  if (wanted === undefined) {
    return Result.fail(queryError("invalid_query", "The query leaves out a number among its parameters"))
  }
  const given = new Map<string, Schema.Json>(
    isList(parameters)
      ? parameters.map((value, index) => [String(index + 1), value])
      : Object.entries(parameters)
  )
  const excess = Array.from(given.keys()).find((name) => !wanted.has(name))
  if (excess !== undefined) return bad(excess, "the query has no such parameter")
  const bound: Array<Bound> = []
  for (const name of wanted.keys()) {
    const value = given.get(name)
    if (value === undefined) return bad(name, "the query needs it and the request does not have it")
    const typed = fromJson(value)
    if (typed === undefined) return bad(name, "its elements have no type in common")
    bound.push({ name, ...typed })
  }
  return Result.succeed(bound)
}

/** Binds to any statement that holds the matched one's text. */
export const bind = (prepared: DuckDBPreparedStatement, bound: ReadonlyArray<Bound>): void => {
  const indexes = indexesOf(prepared)
  for (const { name, type, value } of bound) {
    const index = indexes?.get(name) ?? prepared.parameterIndex(name)
    if (value === null) prepared.bindNull(index)
    else prepared.bindValue(index, value, type)
  }
}

/** Prepares and binds a statement and runs it to its end. */
export const run = async (
  connection: DuckDBConnection,
  statement: { readonly sql: string; readonly bound: ReadonlyArray<Bound> }
): Promise<DuckDBMaterializedResult> => {
  const prepared = await connection.prepare(statement.sql)
  try {
    bind(prepared, statement.bound)
    return await prepared.run()
  } finally {
    prepared.destroySync()
  }
}

/** As {@link run}, for reading while it runs. */
export const stream = async (
  connection: DuckDBConnection,
  statement: { readonly sql: string; readonly bound: ReadonlyArray<Bound> }
): Promise<DuckDBResult> => {
  const prepared = await connection.prepare(statement.sql)
  try {
    bind(prepared, statement.bound)
    return await prepared.stream()
  } finally {
    prepared.destroySync()
  }
}

const bad = (name: string, reason: string): Result.Result<never, QueryError> =>
  Result.fail(queryError("bad_request", `parameters.${name}: ${reason}`))

const isList = (value: Parameters | Schema.Json): value is ReadonlyArray<Schema.Json> => Array.isArray(value)

interface Typed {
  readonly type: DuckDBType
  readonly value: DuckDBValue
}

const fromJson = (json: Schema.Json): Typed | undefined => {
  switch (typeof json) {
    case "boolean":
      return { type: BOOLEAN, value: json }
    case "number":
      return fromNumber(json)
    case "string":
      return { type: VARCHAR, value: json }
    default:
      if (json === null) return { type: SQLNULL, value: null }
      return isList(json) ? fromList(json) : fromObject(json as Schema.JsonObject)
  }
}

const fromNumber = (value: number): Typed => {
  if (!Number.isSafeInteger(value) || Object.is(value, -0)) return { type: DOUBLE, value }
  return value === (value | 0) ? { type: INTEGER, value } : { type: BIGINT, value: BigInt(value) }
}

const fromList = (list: ReadonlyArray<Schema.Json>): Typed | undefined => {
  const items: Array<Typed> = []
  for (const json of list) {
    const item = fromJson(json)
    if (item === undefined) return undefined
    items.push(item)
  }
  const type = items.reduce<DuckDBType | undefined>(
    (common, item) => (common === undefined ? undefined : commonType(common, item.type)),
    SQLNULL
  )
  if (type === undefined) return undefined
  return { type: LIST(type), value: listValue(items.map((item) => widen(item.value, type))) }
}

const fromObject = (object: Schema.JsonObject): Typed | undefined => {
  const types: Record<string, DuckDBType> = {}
  const values: Record<string, DuckDBValue> = {}
  for (const [key, json] of Object.entries(object)) {
    const field = fromJson(json)
    if (field === undefined) return undefined
    types[key] = field.type
    values[key] = field.value
  }
  return { type: STRUCT(types), value: structValue(values) }
}

const numeric: ReadonlyArray<DuckDBType> = [INTEGER, BIGINT, DOUBLE]

/** The type that holds values of both, for the types that JSON gives rise to. */
const commonType = (a: DuckDBType, b: DuckDBType): DuckDBType | undefined => {
  if (a === SQLNULL) return b
  if (b === SQLNULL || a.toString() === b.toString()) return a
  const wider = Math.max(numeric.indexOf(a), numeric.indexOf(b))
  return numeric.includes(a) && numeric.includes(b) ? numeric[wider] : undefined
}

/** Only numbers differ in representation among the types that go together. */
const widen = (value: DuckDBValue, type: DuckDBType): DuckDBValue => {
  if (type === BIGINT && typeof value === "number") return BigInt(value)
  if (type === DOUBLE && typeof value === "bigint") return Number(value)
  return value
}
