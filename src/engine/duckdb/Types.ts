/**
 * The names of DuckDB's types, as SQL reads them.
 */
import { type DuckDBType, DuckDBTypeId } from "@duckdb/node-api"
import * as Sql from "./Sql.ts"

/** Gives some types another name, and `undefined` to the others, whose parts are then asked about. */
export type Rename = (type: DuckDBType) => string | undefined

/**
 * The name of a type. With `rename` it is the type that a cast which reaches into nested values leads to.
 *
 * **Gotchas**
 *
 * The bindings' own `toString` forgets aliases inside nested types (a list of JSON prints as `VARCHAR[]`) and
 * gives the fields of an unnamed struct names that SQL does not accept.
 */
export const name = (type: DuckDBType, rename?: Rename): string => {
  const renamed = rename?.(type)
  if (renamed !== undefined) return renamed
  switch (type.typeId) {
    case DuckDBTypeId.LIST:
      return `${name(type.valueType, rename)}[]`
    case DuckDBTypeId.ARRAY:
      return `${name(type.valueType, rename)}[${type.length}]`
    case DuckDBTypeId.MAP:
      return `MAP(${name(type.keyType, rename)}, ${name(type.valueType, rename)})`
    case DuckDBTypeId.STRUCT:
      return `STRUCT(${members(type.entryNames, type.entryTypes, rename)})`
    case DuckDBTypeId.UNION:
      return `UNION(${members(type.memberTags, type.memberTypes, rename)})`
    default:
      return type.alias ?? type.toString()
  }
}

const members = (
  names: ReadonlyArray<string>,
  types: ReadonlyArray<DuckDBType>,
  rename: Rename | undefined
): string =>
  types
    .map((type, index) => `${Sql.identifier(names[index] || `element${index + 1}`)} ${name(type, rename)}`)
    .join(", ")

/**
 * Whether a struct without names (`row(1, 2)`) may be inside. Its fields all print with the same empty key,
 * so it is cast to {@link name}, which numbers them.
 */
export const mayHaveUnnamed = (type: DuckDBType): boolean => type.toString().includes('"" ')

/** Whether values of the type of this name may be NaN or infinite. Nested types are not looked into. */
export const isFloat = (name: string): boolean => name === "FLOAT" || name === "DOUBLE"
