/**
 * Numbers with an explicit type that their value does not imply: 7 as a DOUBLE, 1 as a BIGINT.
 */
import * as BigDecimal from "effect/BigDecimal"
import * as ExactJson from "./ExactJson.ts"

/** The types that a number may be given explicitly. */
export type Type = "double" | "decimal" | "bigint" | "hugeint"

/**
 * A number with an explicit type. An engine derives the type of any other number from its value:
 * 7 is an integer.
 *
 * **Details**
 *
 * A `double` is a `number`, and may be NaN or infinite. A `decimal` is a `BigDecimal`. A `bigint` (64 bits)
 * and a `hugeint` (128 bits) are a JavaScript `bigint`.
 *
 * @category models
 * @since 0.1.0
 */
export class Numeric {
  readonly type: Type
  readonly value: number | bigint | BigDecimal.BigDecimal

  constructor(type: Type, value: number | bigint | BigDecimal.BigDecimal) {
    this.type = type
    this.value = value
  }
}

/** The expected form of each type, for error messages. */
const forms: Readonly<Record<Type, string>> = {
  double: 'a number, "NaN", "Infinity" or "-Infinity"',
  decimal: "a number of at most 38 digits, without an exponent",
  bigint: "an integer of 64 bits",
  hugeint: "an integer of 128 bits"
}

/** Whether the value names one of the types. */
export const isType = (name: unknown): name is Type => typeof name === "string" && Object.hasOwn(forms, name)

/** The number of a type, or an error message. */
export const make = (type: Type, value: unknown): Numeric | string => {
  const number =
    type === "double" ? double(value) : type === "decimal" ? decimal(value) : integer(type, value)
  return number === undefined ? `a ${type} is ${forms[type]}` : new Numeric(type, number)
}

/** Most digits of a decimal. */
const maxDigits = 38

const notFinite: ReadonlyArray<unknown> = ["NaN", "Infinity", "-Infinity"]

/**
 * A double, also from the JSON texts of non-finite values. Other numbers must be within the
 * range of a double.
 */
const double = (value: unknown): number | undefined => {
  if (typeof value === "number" || notFinite.includes(value)) return Number(value)
  if (typeof value !== "bigint" && !BigDecimal.isBigDecimal(value)) return undefined
  const number = Number(typeof value === "bigint" ? value : ExactJson.decimalText(value))
  return Number.isFinite(number) ? number : undefined
}

const decimal = (value: unknown): BigDecimal.BigDecimal | undefined => {
  if (!BigDecimal.isBigDecimal(value)) {
    const whole = integer("hugeint", value)
    return whole === undefined ? undefined : decimal(BigDecimal.make(whole, 0))
  }
  const digits = ExactJson.decimalText(value).replace(/^-?0?|\./g, "")
  return digits.length <= maxDigits ? value : undefined
}

const integer = (type: "bigint" | "hugeint", value: unknown): bigint | undefined => {
  const isWhole = typeof value === "bigint" || Number.isSafeInteger(value)
  const number = isWhole ? BigInt(value as number | bigint) : undefined
  return number !== undefined && BigInt.asIntN(type === "bigint" ? 64 : 128, number) === number
    ? number
    : undefined
}

/** The JSON form of a number: a text to be written verbatim, or a string for a non-finite value. */
export const format = ({ value }: Numeric): { readonly raw: string } | string => {
  if (BigDecimal.isBigDecimal(value)) return { raw: ExactJson.decimalText(value) }
  if (typeof value === "bigint" || Number.isFinite(value)) {
    return { raw: Object.is(value, -0) ? "-0" : String(value) }
  }
  return String(value)
}
