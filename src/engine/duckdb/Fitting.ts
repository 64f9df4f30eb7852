/**
 * Numbers and texts as parameters, by what the statement wants: it casts neither to something else than was written.
 */
import { DuckDBTypeId } from "@duckdb/node-api"
import * as BigDecimal from "effect/BigDecimal"
import * as Option from "effect/Option"
import * as ExactJson from "../ExactJson.ts"
import { Numeric, type Parameter } from "../QueryApi.ts"

/**
 * What a number is where a text is wanted, and the other way round. DuckDB would round the text to an exact type, so that
 * `'1.50'` equalled 2.
 */
export const to = (wanted: DuckDBTypeId, value: Parameter): Parameter => {
  if (typeof value === "string") return exactTypes.has(wanted) ? (numberOf(value) ?? value) : value
  return wanted === DuckDBTypeId.VARCHAR ? (textOf(value) ?? value) : value
}

/** A number as it was written, and a boolean: DuckDB would make booleans of the texts that it is compared with. */
const textOf = (value: Parameter): string | undefined => {
  if (value instanceof Numeric) return value.type === "double" ? undefined : textOf(value.value)
  if (BigDecimal.isBigDecimal(value)) return ExactJson.decimalText(value)
  return typeof value === "bigint" || typeof value === "number" || typeof value === "boolean"
    ? String(value)
    : undefined
}

const exactTypes: ReadonlySet<DuckDBTypeId> = new Set([
  DuckDBTypeId.TINYINT,
  DuckDBTypeId.SMALLINT,
  DuckDBTypeId.INTEGER,
  DuckDBTypeId.BIGINT,
  DuckDBTypeId.HUGEINT,
  DuckDBTypeId.UTINYINT,
  DuckDBTypeId.USMALLINT,
  DuckDBTypeId.UINTEGER,
  DuckDBTypeId.UBIGINT,
  DuckDBTypeId.UHUGEINT,
  DuckDBTypeId.BIGNUM,
  DuckDBTypeId.DECIMAL
])

/** Numbers of a length that is worth reading, and none that a double takes for zero. */
const numberPattern = /^\s*[+-]?(?:\d{1,100}(?:\.\d{0,100})?|\.\d{1,100})(?:e[+-]?\d{1,2})?\s*$/i

/** A text that is a number to its last digit. */
const numberOf = (text: string): BigDecimal.BigDecimal | undefined =>
  numberPattern.test(text) ? Option.getOrUndefined(BigDecimal.fromString(text.trim())) : undefined
