/**
 * Numbers and texts as parameters of the statement's expected type, without a change of the written value.
 */
import { DuckDBTypeId } from "@duckdb/node-api"
import * as BigDecimal from "effect/BigDecimal"
import * as Option from "effect/Option"
import * as ExactJson from "../ExactJson.ts"
import { Numeric, type Parameter } from "../QueryApi.ts"

/**
 * A number for an expected text, and vice versa. DuckDB would round the text to an exact type, so that
 * `'1.50'` equalled 2.
 */
export const to = (wanted: DuckDBTypeId, value: Parameter): Parameter => {
  if (typeof value === "string") return exactTypes.has(wanted) ? (numberOf(value) ?? value) : value
  return wanted === DuckDBTypeId.VARCHAR ? (textOf(value) ?? value) : value
}

/**
 * A number as it was written, or a boolean: DuckDB would make booleans of the texts that it is compared with.
 */
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

/** Numbers of a reasonable length, without those that a double rounds to zero. */
const numberPattern = /^\s*[+-]?(?:\d{1,100}(?:\.\d{0,100})?|\.\d{1,100})(?:e[+-]?\d{1,2})?\s*$/i

/** A text that is an exact number. */
const numberOf = (text: string): BigDecimal.BigDecimal | undefined =>
  numberPattern.test(text) ? Option.getOrUndefined(BigDecimal.fromString(text.trim())) : undefined
