/**
 * The columns of a statement or result, within the limits of a result.
 */
import {
  DuckDBArrayLogicalType,
  DuckDBArrayType,
  DuckDBEnumLogicalType,
  DuckDBEnumType,
  DuckDBListLogicalType,
  DuckDBListType,
  type DuckDBLogicalType,
  DuckDBMapLogicalType,
  DuckDBMapType,
  type DuckDBPreparedStatement,
  type DuckDBResult,
  DuckDBStructLogicalType,
  DuckDBStructType,
  type DuckDBType,
  DuckDBTypeId,
  DuckDBUnionLogicalType,
  DuckDBUnionType,
  SQLNULL,
  VARCHAR
} from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import type { ResultLimits } from "../Limits.ts"
import { type QueryError, queryError } from "../QueryApi.ts"
import * as Steps from "./Steps.ts"
import type { ResultColumn } from "./TextSql.ts"
import * as Types from "./Types.ts"

/** The limits that apply to columns. */
export type Limits = Pick<ResultLimits, "maxColumns" | "maxNesting">

/**
 * Most bytes of names and types of columns as JSON in an accept. With the rest of the body it
 * stays below 1 MiB.
 */
export const maxDescriptionBytes = 1020 * 1024

/**
 * A column with a unique name in its result. Its type is `undefined` where the bindings have no name for
 * it, as for TYPE.
 */
export interface Column {
  readonly name: string
  readonly type: DuckDBType | undefined
}

export const isNamed = (column: Column): column is ResultColumn => column.type !== undefined

/**
 * Reads the columns of a result.
 *
 * Fails with `invalid_query` and the name of the limit if there are more columns than `maxColumns`, if a type is
 * nested deeper than `maxNesting`, or if names and types are longer than {@link maxDescriptionBytes}.
 */
export const ofAnyResult = (
  result: DuckDBResult,
  limits: Limits
): Effect.Effect<ReadonlyArray<Column>, QueryError> => {
  const reader = new Reader(limits)
  return reader.read(result.columnCount, {
    name: (index) => result.columnName(index),
    type: (index) => reader.type(result.columnLogicalType(index), 0)
  })
}

/** Like {@link ofAnyResult}, but also fails with `invalid_query` if a type has no name. */
export const ofResult = (
  result: DuckDBResult,
  limits: Limits
): Effect.Effect<ReadonlyArray<ResultColumn>, QueryError> =>
  Effect.flatMap(ofAnyResult(result, limits), allNamed)

const allNamed = (columns: ReadonlyArray<Column>): Effect.Effect<ReadonlyArray<ResultColumn>, QueryError> =>
  columns.every(isNamed)
    ? Effect.succeed(columns)
    : Effect.fail(queryError("invalid_query", "A column has a type that cannot be sent; cast it to VARCHAR"))

/**
 * Like {@link ofResult}, for a statement that has not run; `undefined` where types depend on parameters.
 * DuckDB copies the types of all columns to return one, so results are the better source for many columns.
 */
export const ofPrepared = (
  prepared: DuckDBPreparedStatement,
  limits: Limits
): Effect.Effect<ReadonlyArray<ResultColumn> | undefined, QueryError> =>
  areKnown(prepared)
    ? Effect.flatMap(
        new Reader(limits).read(prepared.columnCount, {
          name: (index) => prepared.columnName(index),
          type: (index) => prepared.columnType(index)
        }),
        allNamed
      )
    : Effect.undefined

/**
 * Whether a statement's columns are known. If not, a single column of an unknown type may stand
 * for all of them.
 */
export const areKnown = (prepared: DuckDBPreparedStatement): boolean =>
  prepared.parameterCount === 0 ||
  prepared.columnCount === 0 ||
  prepared.columnTypeId(0) !== DuckDBTypeId.INVALID

const tooManyMessage = (maxColumns: number): string =>
  `The result has more than ${maxColumns} columns, fields of nested types counted (maxColumns)`

/** The error for more columns than `maxColumns`. */
export const tooMany = ({ maxColumns }: Limits): QueryError =>
  queryError("invalid_query", tooManyMessage(maxColumns))

/** Columns read in one step. */
const stepColumns = 64

/** A statement's or result's descriptions of its columns. */
interface Described {
  readonly name: (index: number) => string
  readonly type: (index: number) => DuckDBType
}

/** The bindings throw for types that they have no name for, at any depth. */
const typeOrNone = (read: () => DuckDBType): DuckDBType | undefined => {
  try {
    return read()
  } catch {
    return undefined
  }
}

/**
 * Names made unique without regard to case, in the same way as DuckDB does for a query in a `FROM` clause.
 * Statements that write may repeat a name.
 */
class Names {
  /** For each lower-case name, the number of the next one like it. */
  private readonly next = new Map<string, number>()

  unique(name: string): string {
    const key = name.toLowerCase()
    let number = this.next.get(key)
    let unique = name
    if (number !== undefined) {
      do unique = `${name}_${number++}`
      while (this.next.has(unique.toLowerCase()))
      this.next.set(key, number)
    }
    this.next.set(unique.toLowerCase(), 1)
    return unique
  }
}

/** Reads columns until one of the limits is exceeded. */
class Reader {
  private readonly limits: Limits
  private readonly names = new Names()
  private fields = 0
  private description = 0
  private excess: string | undefined

  constructor(limits: Limits) {
    this.limits = limits
  }

  read(count: number, columns: Described): Effect.Effect<ReadonlyArray<Column>, QueryError> {
    return Effect.flatMap(Steps.run(this.columns(count, columns)), (columns) =>
      this.excess === undefined
        ? Effect.succeed(columns)
        : Effect.fail(queryError("invalid_query", this.excess))
    )
  }

  private *columns(count: number, described: Described): Steps.Steps<ReadonlyArray<Column>> {
    const columns: Array<Column> = []
    this.count(count)
    for (let index = 0; index < count && this.excess === undefined; index++) {
      const name = this.names.unique(described.name(index))
      const type = typeOrNone(() => described.type(index))
      if (this.excess === undefined) this.describe({ name, type: Types.name(type ?? VARCHAR) })
      columns.push({ name, type })
      if (index % stepColumns === stepColumns - 1) yield
    }
    return columns
  }

  /** A type, or a placeholder once a limit is exceeded. */
  type(logical: DuckDBLogicalType, level: number): DuckDBType {
    if (level > this.limits.maxNesting) {
      this.excess ??= `A column's type is nested more than ${this.limits.maxNesting} levels deep (maxNesting)`
    }
    if (this.excess !== undefined) return SQLNULL
    const { alias } = logical
    const inner = (type: DuckDBLogicalType) => this.type(type, level + 1)
    if (logical instanceof DuckDBListLogicalType) return new DuckDBListType(inner(logical.valueType), alias)
    if (logical instanceof DuckDBArrayLogicalType) {
      return new DuckDBArrayType(inner(logical.valueType), logical.length, alias)
    }
    if (logical instanceof DuckDBMapLogicalType) {
      return new DuckDBMapType(inner(logical.keyType), inner(logical.valueType), alias)
    }
    if (logical instanceof DuckDBStructLogicalType) {
      const members = this.members(logical.entryCount)
      const names = members.map((index) => logical.entryName(index))
      return new DuckDBStructType(
        names,
        members.map((index) => inner(logical.entryLogicalType(index))),
        alias
      )
    }
    if (logical instanceof DuckDBUnionLogicalType) {
      const members = this.members(logical.memberCount)
      const tags = members.map((index) => logical.memberTag(index))
      return new DuckDBUnionType(
        tags,
        members.map((index) => inner(logical.memberLogicalType(index))),
        alias
      )
    }
    if (logical instanceof DuckDBEnumLogicalType) return this.enumeration(logical)
    return logical.asType()
  }

  private members(count: number): ReadonlyArray<number> {
    this.count(count)
    return this.excess === undefined ? Array.from({ length: count }, (_, index) => index) : []
  }

  /** An enumeration's type lists all its names, so only few fit a description. */
  private enumeration(logical: DuckDBEnumLogicalType): DuckDBType {
    if (logical.valueCount * "'a', ".length > maxDescriptionBytes) this.tooLong()
    return this.excess === undefined
      ? new DuckDBEnumType(logical.values(), logical.internalTypeId, logical.alias)
      : SQLNULL
  }

  private count(fields: number): void {
    const { maxColumns } = this.limits
    this.fields += fields
    if (this.fields > maxColumns) {
      this.excess ??= tooManyMessage(maxColumns)
    }
  }

  private describe(column: { readonly name: string; readonly type: string }): void {
    this.description += Buffer.byteLength(JSON.stringify(column)) + 1
    if (this.description > maxDescriptionBytes) this.tooLong()
  }

  private tooLong(): void {
    this.excess ??= `The names and types of the result's columns are longer than ${maxDescriptionBytes} bytes; fewer columns are needed than maxColumns allows`
  }
}
