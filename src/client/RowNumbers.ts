/**
 * Numbers in the JSON of a row that a JavaScript number cannot represent.
 *
 * A number with an exponent is a double, and a double is printed with at most 17 digits. An engine that
 * supports `numbers` sends numbers of wide types as texts. This module handles those that are sent as numbers
 * all the same.
 */
import type { Buffer } from "node:buffer"

/** Numbers with fewer digits are exact. */
const minDigits = 16

/** The length of a double's digits and its point. */
const maxDouble = 18

/** No double has this many digits, and reading more would take long. */
const maxDigits = 400

const point = 0x2e
const nine = 0x39

/**
 * The characters of a number without sign and exponent. The slash, between point and digits, does not occur.
 */
const isOfNumber = (byte: number | undefined): boolean => byte !== undefined && byte >= point && byte <= nine

/** The digits from the first to the last that are not zero. */
const significant = (text: string): string => {
  const [mantissa = ""] = text.split("e")
  return mantissa.replace(".", "").replace(/^0+/, "").replace(/0+$/, "")
}

/** Whether a JavaScript number is printed with all digits of a number without a sign. */
const isPrinted = (text: string): boolean => {
  if (text.length < minDigits) return true
  if (text.length > maxDigits) return false
  const printed = String(Number(text))
  return printed === text || significant(printed) === significant(text)
}

/**
 * The same, and as an integer it equals the JavaScript number: beyond 2^53 it may differ, and be printed
 * alike.
 */
export const isExact = (text: string): boolean => {
  const value = Number(text)
  if (text.length > maxDigits || !(value > Number.MAX_SAFE_INTEGER)) return isPrinted(text)
  const [whole = "", fraction = ""] = text.split(".")
  return /^0*$/.test(fraction) && Number.isFinite(value) && BigInt(whole) === BigInt(value)
}

/** Whether a double without its sign becomes neither infinite nor, unless it is zero, zero. */
const isWithin = (text: string): boolean => {
  const value = Number(text)
  return Number.isFinite(value) && (value !== 0 || significant(text.toLowerCase()) === "")
}

/**
 * Whether a number without its sign keeps its digits. A number with an exponent is a double, which does if it
 * is within range.
 */
export const keeps = (text: string): boolean => (/e/i.test(text) ? isWithin(text) : isExact(text))

/** The kinds of numbers that may occur. */
export interface Numbers {
  /** Numbers with a point may be decimals rather than doubles. */
  readonly hasDecimals: boolean
  /**
   * Numbers with an exponent may be no doubles: in a column of JSON, whose values are as they were written.
   */
  readonly hasJson: boolean
}

/** The same for a number of JSON. */
const keepsInJson = (text: string, { hasDecimals }: Numbers): boolean =>
  /e/i.test(text)
    ? isWithin(text)
    : (!hasDecimals && text.length <= maxDouble && text.includes(".")) || isPrinted(text)

/** Numbers that exceed doubles have an exponent like this, or many digits. */
const exponentPattern = /[0-9][eE][-+]?0*([3-9][0-9][0-9]|[0-9]{4})/

/** Whether JSON may contain a number with few digits that is infinite or zero as a double. */
export const mayExceed = (text: string, { hasJson }: Numbers): boolean =>
  hasJson && exponentPattern.test(text)

/** Whether a run of digits that begins here may be a JSON number, rather than part of most texts. */
const mayBegin = (bytes: Buffer, start: number, first: number): boolean => {
  const at = bytes[first - 1] === 0x2d ? first - 2 : first - 1
  const before = at < start ? 0x20 : (bytes[at] ?? 0)
  return before === 0x3a || before === 0x2c || before === 0x5b || before <= 0x20
}

/** Whether digits without an exponent belong to a double, as far as their form shows it. */
const isDouble = (bytes: Buffer, first: number, last: number, hasDecimals: boolean): boolean => {
  if (hasDecimals || last - first > maxDouble) return false
  let at = first
  while (at < last && bytes[at] !== point) at++
  return at < last
}

/** Whether a JavaScript number may differ from the number with these digits. */
const mayChange = (bytes: Buffer, first: number, last: number, { hasDecimals, hasJson }: Numbers): boolean =>
  ((bytes[last] ?? 0) | 0x20) === 0x65
    ? hasJson
    : !isDouble(bytes, first, last, hasDecimals) && !isPrinted(bytes.toString("latin1", first, last))

/**
 * Whether JSON may contain a number that would lose digits. It reads every 16th byte, so it costs little
 * without long numbers.
 */
export const mayLose = (bytes: Buffer, start: number, end: number, numbers: Numbers): boolean => {
  let at = start + minDigits - 1
  while (at < end) {
    if (isOfNumber(bytes[at])) {
      let first = at
      while (first > start && isOfNumber(bytes[first - 1])) first--
      let last = at + 1
      while (last < end && isOfNumber(bytes[last])) last++
      const isLong = last - first >= minDigits && mayBegin(bytes, start, first)
      if (isLong && mayChange(bytes, first, last, numbers)) return true
      at = last
    }
    at += minDigits
  }
  return false
}

interface Context {
  readonly source?: string
}

/** Parses JSON, with each number that would lose digits replaced by a text of its digits. */
export const parse = (text: string, numbers: Numbers): unknown =>
  JSON.parse(text, ((_: string, value: unknown, { source }: Context) =>
    typeof value === "number" && source !== undefined && !keepsInJson(source.replace(/^-/, ""), numbers)
      ? source
      : value) as never)
