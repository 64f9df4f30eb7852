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
  DuckDBListType,
  type DuckDBLogicalType,
  type DuckDBMaterializedResult,
  type DuckDBPreparedStatement,
  type DuckDBResult,
  DuckDBStructType,
  type DuckDBType,
  INTEGER,
  LIST,
  SQLNULL,
  VARCHAR
} from "@duckdb/node-api"
import duckdb from "@duckdb/node-bindings"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import { type Parameters, QueryError, queryError } from "../QueryApi.ts"
import * as Steps from "./Steps.ts"

/** A parameter as DuckDB takes it, under the name that the statement has for it (`"1"` for the first `?`). */
export interface Bound {
  readonly name: string
  readonly bind: (statement: duckdb.PreparedStatement, index: number) => void
}

/** Values, names or bindings in one step: each is a native call of about a microsecond. */
const stepSize = 1024

/**
 * The statement's parameters by name, with their indexes. DuckDB names the parameter at an index at once and
 * searches for the index of a name, which thousands of parameters would feel.
 *
 * `undefined` if the statement leaves a number out, as `SELECT $2` does: DuckDB has no names then.
 */
function* indexesOf(prepared: DuckDBPreparedStatement): Steps.Steps<ReadonlyMap<string, number> | undefined> {
  const indexes = new Map<string, number>()
  for (let index = 1; index <= prepared.parameterCount; index++) {
    try {
      indexes.set(prepared.parameterName(index), index)
    } catch {
      return undefined
    }
    if (index % stepSize === 0) yield
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
): Effect.Effect<ReadonlyArray<Bound>, QueryError> =>
  Effect.flatMap(Steps.run(matched(prepared, parameters)), (bound) =>
    bound instanceof QueryError ? Effect.fail(bound) : Effect.succeed(bound)
  )

function* matched(
  prepared: DuckDBPreparedStatement,
  parameters: Parameters
): Steps.Steps<ReadonlyArray<Bound> | QueryError> {
  const wanted = yield* indexesOf(prepared)
  if (wanted === undefined) {
    return queryError("invalid_query", "The query leaves out a number among its parameters")
  }
  const given = new Map<string, Schema.Json>(
    isList(parameters)
      ? parameters.map((value, index) => [String(index + 1), value])
      : Object.entries(parameters)
  )
  const excess = Array.from(given.keys()).find((name) => !wanted.has(name))
  if (excess !== undefined) return bad(excess, "the query has no such parameter")
  const values = new Values()
  const bound: Array<Bound> = []
  for (const name of wanted.keys()) {
    const json = given.get(name)
    if (json === undefined) return bad(name, "the query needs it and the request does not have it")
    const bind = yield* values.bind(json)
    if (bind === undefined) return bad(name, "its elements have no type in common")
    bound.push({ name, bind })
  }
  return bound
}

/** Binds to any statement that holds the matched one's text. */
export const bind = (prepared: DuckDBPreparedStatement, bound: ReadonlyArray<Bound>): Promise<void> =>
  Steps.runPromise(binding(prepared, bound))

function* binding(prepared: DuckDBPreparedStatement, bound: ReadonlyArray<Bound>): Steps.Steps<void> {
  if (bound.length === 0) return
  const indexes = yield* indexesOf(prepared)
  // The bindings' own class makes a value anew for each call; this is the handle that it wraps.
  const { prepared_statement } = prepared as unknown as {
    readonly prepared_statement: duckdb.PreparedStatement
  }
  for (const [count, { bind, name }] of bound.entries()) {
    bind(prepared_statement, indexes?.get(name) ?? prepared.parameterIndex(name))
    if (count % stepSize === stepSize - 1) yield
  }
}

/** Prepares and binds a statement and runs it to its end. */
export const run = async (
  connection: DuckDBConnection,
  statement: { readonly sql: string; readonly bound: ReadonlyArray<Bound> }
): Promise<DuckDBMaterializedResult> => {
  const prepared = await connection.prepare(statement.sql)
  try {
    await bind(prepared, statement.bound)
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
    await bind(prepared, statement.bound)
    return await prepared.stream()
  } finally {
    prepared.destroySync()
  }
}

const bad = (name: string, reason: string): QueryError =>
  queryError("bad_request", `parameters.${name}: ${reason}`)

const isList = (value: Parameters | Schema.Json): value is ReadonlyArray<Schema.Json> => Array.isArray(value)

/** Makes DuckDB's values of JSON ones. */
class Values {
  private count = 0
  /** A list of objects has one type for all of them. */
  private readonly logical = new Map<DuckDBType, DuckDBLogicalType>()

  private *typeOf(json: Schema.Json): Steps.Steps<DuckDBType | undefined> {
    if (++this.count % stepSize === 0) yield
    switch (typeof json) {
      case "boolean":
        return BOOLEAN
      case "number":
        return typeOfNumber(json)
      case "string":
        return VARCHAR
      default:
        if (json === null) return SQLNULL
        return yield* isList(json) ? this.typeOfList(json) : this.typeOfObject(json as Schema.JsonObject)
    }
  }

  /** Binds a value; `undefined` where the elements of a list have no type in common. */
  *bind(json: Schema.Json): Steps.Steps<Bound["bind"] | undefined> {
    const type = yield* this.typeOf(json)
    if (typeof json !== "object" || json === null) return bindScalar(json)
    if (type === undefined) return undefined
    const value = yield* this.valueOf(json, type)
    return (statement, index) => duckdb.bind_value(statement, index, value)
  }

  private *typeOfList(list: ReadonlyArray<Schema.Json>): Steps.Steps<DuckDBType | undefined> {
    let common: DuckDBType | undefined = SQLNULL
    for (const json of list) {
      const type: DuckDBType | undefined = yield* this.typeOf(json)
      common = type && commonType(common, type)
      if (common === undefined) return undefined
    }
    return LIST(common)
  }

  private *typeOfObject(object: Schema.JsonObject): Steps.Steps<DuckDBType | undefined> {
    const types: Array<DuckDBType> = []
    for (const json of Object.values(object)) {
      const type = yield* this.typeOf(json)
      if (type === undefined) return undefined
      types.push(type)
    }
    return new DuckDBStructType(Object.keys(object), types)
  }

  private *valueOf(json: Schema.Json, type: DuckDBType): Steps.Steps<duckdb.Value> {
    if (++this.count % stepSize === 0) yield
    if (json === null) return duckdb.create_null_value()
    if (type instanceof DuckDBListType) {
      const items = yield* this.valuesOf(json as ReadonlyArray<Schema.Json>, () => type.valueType)
      return duckdb.create_list_value(this.handle(type.valueType), items)
    }
    if (type instanceof DuckDBStructType) {
      const values = Object.values(json as Schema.JsonObject)
      const entries = yield* this.valuesOf(values, (index) => type.entryTypes[index] as DuckDBType)
      return duckdb.create_struct_value(this.handle(type), entries)
    }
    return scalar(json, type)
  }

  private *valuesOf(
    list: ReadonlyArray<Schema.Json>,
    typeAt: (index: number) => DuckDBType
  ): Steps.Steps<ReadonlyArray<duckdb.Value>> {
    const values: Array<duckdb.Value> = []
    for (const [index, json] of list.entries()) values.push(yield* this.valueOf(json, typeAt(index)))
    return values
  }

  private handle(type: DuckDBType): duckdb.LogicalType {
    let logical = this.logical.get(type)
    if (logical === undefined) {
      logical = type.toLogicalType()
      this.logical.set(type, logical)
    }
    return logical.logical_type
  }
}

const typeOfNumber = (value: number): DuckDBType => {
  if (!Number.isSafeInteger(value) || Object.is(value, -0)) return DOUBLE
  return value === (value | 0) ? INTEGER : BIGINT
}

/** Without a value of DuckDB's, which the garbage collector would have to find. */
const bindScalar = (json: Exclude<Schema.Json, object> | null): Bound["bind"] => {
  switch (typeof json) {
    case "boolean":
      return (statement, index) => duckdb.bind_boolean(statement, index, json)
    case "string":
      return (statement, index) => duckdb.bind_varchar(statement, index, json)
    case "number":
      return bindNumber(json, typeOfNumber(json))
    default:
      return duckdb.bind_null
  }
}

const bindNumber = (value: number, type: DuckDBType): Bound["bind"] => {
  if (type === INTEGER) return (statement, index) => duckdb.bind_int32(statement, index, value)
  return type === BIGINT
    ? (statement, index) => duckdb.bind_int64(statement, index, BigInt(value))
    : (statement, index) => duckdb.bind_double(statement, index, value)
}

/** A scalar in the type that holds it and its neighbours. */
const scalar = (json: Schema.Json, type: DuckDBType): duckdb.Value => {
  switch (type) {
    case BOOLEAN:
      return duckdb.create_bool(json as boolean)
    case INTEGER:
      return duckdb.create_int32(json as number)
    case BIGINT:
      return duckdb.create_int64(BigInt(json as number))
    case DOUBLE:
      return duckdb.create_double(json as number)
    default:
      return duckdb.create_varchar(json as string)
  }
}

const numeric: ReadonlyArray<DuckDBType> = [INTEGER, BIGINT, DOUBLE]

/** The type that holds values of both, for the types that JSON gives rise to. */
const commonType = (a: DuckDBType, b: DuckDBType): DuckDBType | undefined => {
  if (a === b || b === SQLNULL) return a
  if (a === SQLNULL) return b
  const wider = Math.max(numeric.indexOf(a), numeric.indexOf(b))
  if (numeric.includes(a) && numeric.includes(b)) return numeric[wider]
  return a.toString() === b.toString() ? a : undefined
}
