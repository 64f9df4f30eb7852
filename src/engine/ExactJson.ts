/**
 * JSON whose numbers keep their value. The source text comes from the reviver of `JSON.parse`.
 */
import * as BigDecimal from "effect/BigDecimal"

/** A number that is no JavaScript number, or has too many digits to be read. */
export class NumberError extends Error {}

/** The time to read digits grows faster than their number. */
const maxDigits = 10_000

interface Context {
  readonly source?: string
}

/**
 * A value of JSON. Numbers that are safe integers or have an exponent become JavaScript numbers.
 * Others become a `bigint` or, with a decimal point, a `BigDecimal`. Throws a `SyntaxError` or a
 * {@link NumberError}.
 */
export const parse = (text: string): unknown =>
  JSON.parse(text, ((_: string, value: unknown, context: Context) =>
    typeof value === "number" ? exactly(value, context.source ?? String(value)) : value) as never)

const exactly = (value: number, source: string): number | bigint | BigDecimal.BigDecimal => {
  const point = source.indexOf(".")
  if (/e/i.test(source)) return inRange(value, source)
  // Only a double has a negative zero.
  if (Object.is(value, -0) || (point === -1 && Number.isSafeInteger(value))) return value
  if (source.length > maxDigits) {
    throw new NumberError(`the number ${start(source)} has more than ${maxDigits} digits`)
  }
  if (point === -1) return BigInt(source)
  return BigDecimal.make(BigInt(source.replace(".", "")), source.length - point - 1)
}

const inRange = (value: number, source: string): number => {
  const isZero = value === 0 && /[1-9]/.test(source.slice(0, source.search(/e/i)))
  if (!Number.isFinite(value) || isZero) {
    throw new NumberError(`the number ${start(source)} is beyond the range of a double`)
  }
  return value
}

const start = (source: string): string => (source.length > 40 ? `${source.slice(0, 40)}…` : source)

/** The digits of a decimal in JSON, without an exponent. */
export const decimalText = ({ scale, value }: BigDecimal.BigDecimal): string => {
  if (scale <= 0) return String(value * 10n ** BigInt(-scale))
  const digits = String(value < 0n ? -value : value).padStart(scale + 1, "0")
  return `${value < 0n ? "-" : ""}${digits.slice(0, -scale)}.${digits.slice(-scale)}`
}
