/**
 * SQL for the size of a row, before it is printed.
 *
 * DuckDB counts the bytes of a text in 32 bits and silently cuts a longer one, so rows are measured
 * before they are printed. The measure is an upper bound of the text without escapes: an escape makes at
 * most six bytes of one.
 */
import { type DuckDBType, DuckDBTypeId } from "@duckdb/node-api"
import * as Sql from "./Sql.ts"
import type { ResultColumn } from "./TextSql.ts"

/** Most bytes of a value of a type, including a comma. */
const widths: { readonly [Id in DuckDBTypeId]?: number } = {
  [DuckDBTypeId.SQLNULL]: 6,
  [DuckDBTypeId.BOOLEAN]: 6,
  [DuckDBTypeId.TINYINT]: 6,
  [DuckDBTypeId.UTINYINT]: 6,
  [DuckDBTypeId.SMALLINT]: 8,
  [DuckDBTypeId.USMALLINT]: 8,
  [DuckDBTypeId.INTEGER]: 13,
  [DuckDBTypeId.UINTEGER]: 13,
  [DuckDBTypeId.BIGINT]: 22,
  [DuckDBTypeId.UBIGINT]: 22,
  [DuckDBTypeId.FLOAT]: 20,
  [DuckDBTypeId.DOUBLE]: 28,
  [DuckDBTypeId.INTERVAL]: 128
}

const otherWidth = 48

/** Bytes that do not depend on the row, and SQL for each part that does. */
interface Size {
  readonly fixed: number
  readonly parts: ReadonlyArray<string>
}

const fixed = (bytes: number): Size => ({ fixed: bytes, parts: [] })

const sum = (sizes: ReadonlyArray<Size>): Size => ({
  fixed: sizes.reduce((bytes, size) => bytes + size.fixed, 0),
  parts: sizes.flatMap(({ parts }) => parts)
})

const part = (sql: string): Size => ({ fixed: 4, parts: [`coalesce(${sql}, 0)`] })

const sqlOf = ({ fixed, parts }: Size): string => sumOf([String(fixed), ...parts])

/** DuckDB takes a plain sum of a thousand terms for an expression of that depth, and refuses it. */
const sumOf = (parts: ReadonlyArray<string>): string => {
  if (parts.length <= 8) return parts.join(" + ")
  const middle = parts.length >> 1
  return `(${sumOf(parts.slice(0, middle))}) + (${sumOf(parts.slice(middle))})`
}

/** SQL for the size of a row in bytes; a number if all rows have the same size. */
export const sql = (columns: ReadonlyArray<ResultColumn>): string | number => {
  const size = sum(
    columns.map(({ name, type }, index) => sum([fixed(name.length * 3), sizeOf(type, Sql.column(index))]))
  )
  return size.parts.length === 0 ? size.fixed : sqlOf(size)
}

/** The size of the expression's value. `depth` makes the variables of nested lambdas distinct. */
const sizeOf = (type: DuckDBType, value: string, depth = 0): Size => {
  switch (type.typeId) {
    case DuckDBTypeId.VARCHAR:
      return part(`strlen(${value})`)
    case DuckDBTypeId.BLOB:
      return part(`octet_length(${value})`)
    case DuckDBTypeId.BIT:
      return part(`length(${value})`)
    case DuckDBTypeId.LIST:
    case DuckDBTypeId.ARRAY:
      return sizeOfList(type.valueType, value, depth)
    case DuckDBTypeId.MAP:
      return sum([
        sizeOfList(type.keyType, `map_keys(${value})`, depth),
        sizeOfList(type.valueType, `map_values(${value})`, depth)
      ])
    case DuckDBTypeId.STRUCT:
      return sum(
        type.entryTypes.map((inner, index) =>
          sum([
            fixed((type.entryNames[index] ?? "").length * 3 + 4),
            sizeOf(inner, `struct_extract_at(${value}, ${index + 1})`, depth)
          ])
        )
      )
    case DuckDBTypeId.UNION:
      // NULL for all members but one.
      return sum(
        type.memberTypes.map((inner, index) => {
          const tag = type.memberTags[index] ?? ""
          const member = sizeOf(inner, `union_extract(${value}, ${Sql.literal(tag)})`, depth)
          return sum([fixed(tag.length * 3 + 4), member])
        })
      )
    case DuckDBTypeId.BIGNUM:
    case DuckDBTypeId.VARIANT:
    case DuckDBTypeId.GEOMETRY:
    case DuckDBTypeId.ENUM:
      return part(`strlen(CAST(${value} AS VARCHAR))`)
    default:
      return fixed(widths[type.typeId] ?? otherWidth)
  }
}

/**
 * DuckDB's time to plan nested lambdas doubles with each level, from some sixteen on. Deeper values are
 * measured by their text.
 */
const maxLambdas = 6

/** Nested lists are flattened without counting their brackets: an empty list takes more memory than text. */
const sizeOfList = (type: DuckDBType, list: string, depth: number): Size => {
  if (type.typeId === DuckDBTypeId.LIST) {
    return sizeOfList(type.valueType, `flatten(${list})`, depth)
  }
  if (depth >= maxLambdas) return part(`strlen(CAST(${list} AS VARCHAR))`)
  const element = `e${depth}`
  const size = sizeOf(type, element, depth + 1)
  return part(
    size.parts.length === 0
      ? `len(${list}) * ${size.fixed}`
      : `CAST(list_sum(list_transform(${list}, lambda ${element}: ${sqlOf(size)})) AS BIGINT)`
  )
}
