/**
 * The names of DuckDB's types, as SQL reads them.
 */
import { type DuckDBType, DuckDBTypeId } from "@duckdb/node-api"
import * as Sql from "./Sql.ts"

/** The new name of a type, or `undefined` to keep it; its parts are then renamed in turn. */
export type Rename = (type: DuckDBType) => string | undefined

/**
 * The name of a type in its own schema.
 *
 * **Gotchas**
 *
 * The bindings' own `toString` loses aliases inside nested types (a list of JSON prints as `VARCHAR[]`) and
 * gives the fields of an unnamed struct names that SQL does not accept.
 */
export const name = (type: DuckDBType): string => spell(type, (leaf) => leaf.alias ?? leaf.toString())

/**
 * The type in a form that a cast can resolve anywhere, with `rename` inside nested types too. User-named
 * types are spelled out: their names may not resolve here.
 */
export const castName = (type: DuckDBType, rename?: Rename): string =>
  spell(type, (leaf) => (isJson(leaf) ? "JSON" : leaf.toString()), rename)

/** Whether the type is DuckDB's JSON, a text of its own kind. */
export const isJson = (type: DuckDBType): boolean => type.alias === "JSON"

const spell = (type: DuckDBType, spellLeaf: (leaf: DuckDBType) => string, rename?: Rename): string => {
  const renamed = rename?.(type)
  if (renamed !== undefined) return renamed
  const inner = (child: DuckDBType) => spell(child, spellLeaf, rename)
  const members = (names: ReadonlyArray<string>, types: ReadonlyArray<DuckDBType>) =>
    types
      .map((child, index) => `${Sql.identifier(names[index] || `element${index + 1}`)} ${inner(child)}`)
      .join(", ")
  switch (type.typeId) {
    case DuckDBTypeId.LIST:
      return `${inner(type.valueType)}[]`
    case DuckDBTypeId.ARRAY:
      return `${inner(type.valueType)}[${type.length}]`
    case DuckDBTypeId.MAP:
      return `MAP(${inner(type.keyType)}, ${inner(type.valueType)})`
    case DuckDBTypeId.STRUCT:
      return `STRUCT(${members(type.entryNames, type.entryTypes)})`
    case DuckDBTypeId.UNION:
      return `UNION(${members(type.memberTags, type.memberTypes)})`
    default:
      return spellLeaf(type)
  }
}

/** The types directly inside a type. */
export const childrenOf = (type: DuckDBType): ReadonlyArray<DuckDBType> => {
  switch (type.typeId) {
    case DuckDBTypeId.LIST:
    case DuckDBTypeId.ARRAY:
      return [type.valueType]
    case DuckDBTypeId.MAP:
      return [type.keyType, type.valueType]
    case DuckDBTypeId.STRUCT:
      return type.entryTypes
    case DuckDBTypeId.UNION:
      return type.memberTypes
    default:
      return []
  }
}

/** Whether the type or a nested one matches. */
export const some = (type: DuckDBType, is: (type: DuckDBType) => boolean): boolean =>
  is(type) || childrenOf(type).some((child) => some(child, is))

/**
 * Whether a struct without names (`row(1, 2)`) may be inside. Its fields all print with the same empty key,
 * so it is cast to {@link name}, which numbers them.
 */
export const mayHaveUnnamed = (type: DuckDBType): boolean => type.toString().includes('"" ')

/** Whether values of the type itself may be NaN or infinite. */
export const isFloat = ({ typeId }: DuckDBType): boolean =>
  typeId === DuckDBTypeId.FLOAT || typeId === DuckDBTypeId.DOUBLE

const wide: ReadonlySet<DuckDBTypeId> = new Set([
  DuckDBTypeId.BIGINT,
  DuckDBTypeId.UBIGINT,
  DuckDBTypeId.HUGEINT,
  DuckDBTypeId.UHUGEINT,
  DuckDBTypeId.BIGNUM,
  DuckDBTypeId.DECIMAL
])

/** Whether the type itself has numbers that do not fit a DOUBLE. */
export const isWideNumber = ({ typeId }: DuckDBType): boolean => wide.has(typeId)
