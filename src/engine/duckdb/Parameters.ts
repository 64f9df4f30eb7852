/**
 * Binds the parameters of a request to a prepared statement.
 *
 * Each takes the narrowest DuckDB type that holds it (`ParameterTypes`), lists become LISTs and objects
 * STRUCTs. DuckDB then casts them to the type that the statement expects, as it does with literals. If that
 * is a text, a number becomes the text as it was written: `1.10` does not equal `'1.1'`. If it is an exact
 * number, a text that is one becomes that number.
 */
import {
  type DuckDBConnection,
  type DuckDBDecimalType,
  DuckDBListType,
  type DuckDBLogicalType,
  type DuckDBMaterializedResult,
  type DuckDBPreparedStatement,
  type DuckDBResult,
  DuckDBStructType,
  type DuckDBType,
  DuckDBTypeId
} from "@duckdb/node-api"
import duckdb from "@duckdb/node-bindings"
import * as BigDecimal from "effect/BigDecimal"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { Numeric, type Parameter, type Parameters, QueryError, queryError, Timestamp } from "../QueryApi.ts"
import * as Fitting from "./Fitting.ts"
import * as ParameterTypes from "./ParameterTypes.ts"
import * as Steps from "./Steps.ts"

/** A parameter as DuckDB takes it, under its name in the statement (`"1"` for the first `?`). */
export interface Bound {
  readonly name: string
  readonly bind: (statement: duckdb.PreparedStatement, index: number) => void
}

/** Values, names or bindings in one step: each is a native call of about a microsecond. */
const stepSize = 1024

/**
 * The statement's parameters by name, with their indexes. DuckDB returns the name of an index at once, but
 * searches for the index of a name, which is slow for thousands of parameters.
 *
 * `undefined` if the statement skips a number, as `SELECT $2` does: DuckDB has no names then.
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
 * Matches the statement's parameters with the values of the request.
 *
 * **Details**
 *
 * Fails with `bad_request` naming the parameter if one is missing, one is too many, or its value has no
 * DuckDB type (a list of mixed types, an object without members). Fails with `invalid_query` if the
 * query skips a number.
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
  const given = byWanted(
    wanted,
    isList(parameters)
      ? parameters.map((value, index) => [String(index + 1), value])
      : Object.entries(parameters)
  )
  if (given instanceof QueryError) return given
  const values = new Values()
  const bound: Array<Bound> = []
  for (const [name, index] of wanted) {
    const value = given.get(name)
    if (value === undefined) return bad(name, "the query needs it and the request does not have it")
    const bind = yield* values.bind(Fitting.to(prepared.parameterTypeId(index), value))
    if (typeof bind === "string") return bad(name, bind)
    bound.push({ name, bind })
  }
  return bound
}

/** DuckDB compares names without regard to case, of ASCII letters only. */
const fold = (name: string): string => name.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())

/**
 * The values under the statement's names for them. An exact name takes precedence over one in another case.
 */
const byWanted = (
  wanted: ReadonlyMap<string, number>,
  given: ReadonlyArray<readonly [string, Parameter]>
): ReadonlyMap<string, Parameter> | QueryError => {
  const values = new Map(given.filter(([name]) => wanted.has(name)))
  const others = given.filter(([name]) => !wanted.has(name))
  if (others.length === 0) return values
  const folded = new Map(Array.from(wanted.keys(), (name) => [fold(name), name]))
  const owners = new Map<string, string>()
  for (const [name, value] of others) {
    const own = folded.get(fold(name))
    const other = own && owners.get(own)
    if (other !== undefined) return bad(name, `ambiguous, as ${other} differs from it only in case`)
    if (own === undefined || values.has(own)) return bad(name, "the query has no such parameter")
    owners.set(own, name)
    values.set(own, value)
  }
  return values
}

/** Binds to any statement that contains the matched one's text. */
export const bind = (prepared: DuckDBPreparedStatement, bound: ReadonlyArray<Bound>): Promise<void> =>
  Steps.runPromise(binding(prepared, bound))

function* binding(prepared: DuckDBPreparedStatement, bound: ReadonlyArray<Bound>): Steps.Steps<void> {
  if (bound.length === 0) return
  const indexes = yield* indexesOf(prepared)
  // The bindings' own class makes a new value for each call; this is the handle that it wraps.
  const { prepared_statement } = prepared as unknown as {
    readonly prepared_statement: duckdb.PreparedStatement
  }
  for (const [count, { bind, name }] of bound.entries()) {
    bind(prepared_statement, indexes?.get(name) ?? prepared.parameterIndex(name))
    if (count % stepSize === stepSize - 1) yield
  }
}

/** Prepares, binds and runs a statement to its end. */
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

/** Like {@link run}, for reading while it runs. */
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

const isList = (value: unknown): value is ReadonlyArray<Parameter> => Array.isArray(value)

const bindText =
  (text: string): Bound["bind"] =>
  (statement, index) =>
    duckdb.bind_varchar(statement, index, text)

type Fields = Readonly<Record<string, Parameter>>

const isScalar = (value: Parameter): boolean =>
  typeof value !== "object" ||
  value === null ||
  value instanceof Uint8Array ||
  BigDecimal.isBigDecimal(value) ||
  DateTime.isDateTime(value) ||
  value instanceof Timestamp ||
  value instanceof Numeric

/** Converts a request's values to DuckDB's. */
class Values {
  private count = 0
  private problem = "its elements have no type in common"
  /** The elements of a list share one type, which is converted once. */
  private readonly logical = new Map<DuckDBType, DuckDBLogicalType>()

  private *shapeOf(value: Parameter): Steps.Steps<ParameterTypes.Shape | undefined> {
    if (++this.count % stepSize === 0) yield
    if (isScalar(value)) return ParameterTypes.ofScalar(value)
    return yield* isList(value) ? this.shapeOfList(value) : this.shapeOfObject(value as Fields)
  }

  /** Binds a value, or returns the reason why it has no type. */
  *bind(value: Parameter): Steps.Steps<Bound["bind"] | string> {
    const shape = yield* this.shapeOf(value)
    if (shape === undefined) return this.problem
    const type = ParameterTypes.resolve(shape)
    if (isScalar(value)) return bindScalar(value, type)
    const made = yield* this.valueOf(value, type)
    if (made === undefined) return this.problem
    return (statement, index) => duckdb.bind_value(statement, index, made)
  }

  private *shapeOfList(list: ReadonlyArray<Parameter>): Steps.Steps<ParameterTypes.Shape | undefined> {
    let item: ParameterTypes.Shape | undefined = ParameterTypes.nothing
    for (const value of list) {
      const shape: ParameterTypes.Shape | undefined = yield* this.shapeOf(value)
      item = shape && ParameterTypes.merge(item, shape)
      if (item === undefined) return undefined
    }
    return { _tag: "List", item }
  }

  private *shapeOfObject(object: Fields): Steps.Steps<ParameterTypes.Shape | undefined> {
    const fields = new Map<string, ParameterTypes.Shape>()
    const lower = new Set<string>()
    for (const [name, value] of Object.entries(object)) {
      const shape = yield* this.shapeOf(value)
      if (shape === undefined) return undefined
      fields.set(name, shape)
      lower.add(name.toLowerCase())
    }
    // SQL has no empty names; DuckDB would take the struct for an unnamed one.
    if (fields.has("")) this.problem = "a member with an empty name has no SQL value"
    // DuckDB would cut the name at the NUL.
    else if ([...fields.keys()].some((name) => name.includes("\0")))
      this.problem = "a member with a NUL character in its name has no SQL value"
    else if (fields.size === 0) this.problem = "an object without members has no SQL value"
    else if (lower.size < fields.size) this.problem = "names of members differ only in capital letters"
    else return { _tag: "Struct", fields }
    return undefined
  }

  private *valueOf(value: Parameter, type: DuckDBType): Steps.Steps<duckdb.Value | undefined> {
    if (++this.count % stepSize === 0) yield
    if (value === null) return duckdb.create_null_value()
    if (type instanceof DuckDBListType) {
      const items = yield* this.valuesOf(value as ReadonlyArray<Parameter>, () => type.valueType)
      return items && duckdb.create_list_value(this.handle(type.valueType), items)
    }
    if (type instanceof DuckDBStructType) {
      // By name: the elements of a list may have their members in different orders.
      const fields = value as Fields
      const values = type.entryNames.map((name) => fields[name] as Parameter)
      const entries = yield* this.valuesOf(values, (index) => type.entryTypes[index] as DuckDBType)
      return entries && duckdb.create_struct_value(this.handle(type), entries)
    }
    const made = scalar(value, type)
    if (made === undefined)
      this.problem = "not all of its numbers are doubles, and no other type holds them all"
    return made
  }

  private *valuesOf(
    list: ReadonlyArray<Parameter>,
    typeAt: (index: number) => DuckDBType
  ): Steps.Steps<ReadonlyArray<duckdb.Value> | undefined> {
    const values: Array<duckdb.Value> = []
    for (const [index, value] of list.entries()) {
      const made = yield* this.valueOf(value, typeAt(index))
      if (made === undefined) return undefined
      values.push(made)
    }
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

const micros = (value: Parameter): duckdb.Timestamp => ({
  micros:
    value instanceof Timestamp
      ? value.epochMicros
      : BigInt(DateTime.toEpochMillis(value as DateTime.Utc)) * 1000n
})

const scaled = (value: Parameter, scale: number): bigint => {
  const number = ParameterTypes.exact(value)
  return number === undefined ? 0n : ParameterTypes.scaled(number, scale)
}

const toInteger = (value: Parameter): bigint => scaled(value, 0)

const toDecimal = (value: Parameter, { scale, width }: DuckDBDecimalType): duckdb.Decimal => ({
  width,
  scale,
  value: scaled(value, scale)
})

/** Avoids a value of DuckDB's, which the garbage collector would have to find, where possible. */
const bindScalar = (value: Parameter, type: DuckDBType): Bound["bind"] => {
  switch (type.typeId) {
    case DuckDBTypeId.SQLNULL:
      return duckdb.bind_null
    case DuckDBTypeId.BOOLEAN:
      return (statement, index) => duckdb.bind_boolean(statement, index, value as boolean)
    case DuckDBTypeId.VARCHAR:
      return bindText(value as string)
    case DuckDBTypeId.INTEGER:
      return (statement, index) => duckdb.bind_int32(statement, index, Number(toInteger(value)))
    case DuckDBTypeId.BIGINT:
      return (statement, index) => duckdb.bind_int64(statement, index, toInteger(value))
    case DuckDBTypeId.DOUBLE:
      return (statement, index) => duckdb.bind_double(statement, index, ParameterTypes.toDouble(value))
    default: {
      const made = scalar(value, type)
      return (statement, index) => duckdb.bind_value(statement, index, made as duckdb.Value)
    }
  }
}

/** A scalar in the type that it shares with its neighbours; `undefined` if that would change the number. */
const scalar = (value: Parameter, type: DuckDBType): duckdb.Value | undefined => {
  switch (type.typeId) {
    case DuckDBTypeId.BOOLEAN:
      return duckdb.create_bool(value as boolean)
    case DuckDBTypeId.VARCHAR:
      return duckdb.create_varchar(value as string)
    case DuckDBTypeId.BLOB:
      return duckdb.create_blob(value as Uint8Array)
    case DuckDBTypeId.TIMESTAMP_TZ:
      return duckdb.create_timestamp_tz(micros(value))
    case DuckDBTypeId.INTEGER:
      return duckdb.create_int32(Number(toInteger(value)))
    case DuckDBTypeId.BIGINT:
      return duckdb.create_int64(toInteger(value))
    case DuckDBTypeId.HUGEINT:
      return duckdb.create_hugeint(toInteger(value))
    case DuckDBTypeId.UHUGEINT:
      return duckdb.create_uhugeint(toInteger(value))
    case DuckDBTypeId.BIGNUM:
      return duckdb.create_bignum(toInteger(value))
    case DuckDBTypeId.DECIMAL:
      return duckdb.create_decimal(toDecimal(value, type as DuckDBDecimalType))
    case DuckDBTypeId.DOUBLE:
      return ParameterTypes.isSameDouble(value)
        ? duckdb.create_double(ParameterTypes.toDouble(value))
        : undefined
    default:
      return undefined
  }
}
