/**
 * Parameters as texts with named types, as on a command line and in a URL.
 */
import { Buffer } from "node:buffer"
import * as BigDecimal from "effect/BigDecimal"
import * as Option from "effect/Option"
import * as ExactJson from "./ExactJson.ts"
import * as JsonNames from "./JsonNames.ts"
import * as Numeric from "./Numeric.ts"
import type { Parameter } from "./ParameterValues.ts"
import * as Timestamp from "./Timestamp.ts"

/** The expected form of a type, and its reader: `undefined` for a text of another form. */
interface Type {
  readonly form: string
  readonly read: (text: string) => Parameter | undefined
}

const base64 = /^(?:[\w+/]{4})*(?:[\w+/]{2}==|[\w+/]{3}=)?$/

const blob = (text: string): Parameter | undefined => {
  const [, digits] = /^hex:((?:[0-9a-f]{2})*)$/i.exec(text) ?? []
  if (digits !== undefined) return new Uint8Array(Buffer.from(digits, "hex"))
  return base64.test(text) ? new Uint8Array(Buffer.from(text, "base64")) : undefined
}

/** The value of JSON, or `undefined` for a text that is not JSON. */
const parsed = (text: string): unknown => {
  try {
    return ExactJson.parse(text)
  } catch {
    return undefined
  }
}

const list = (text: string): Parameter | undefined => {
  const value = parsed(text)
  return Array.isArray(value) ? value : undefined
}

const struct = (text: string): Parameter | undefined => {
  const value = parsed(text)
  const isObject = typeof value === "object" && value !== null
  return isObject && !Array.isArray(value) && !BigDecimal.isBigDecimal(value)
    ? (value as Parameter)
    : undefined
}

const timestamp = (text: string): Parameter | undefined => {
  const read = /(?:Z|[+-]\d\d:?\d\d)$/.test(text) ? Timestamp.parse(text) : undefined
  return typeof read === "string" ? undefined : read
}

const numberPattern = /^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?\s*$/i
const notFinitePattern = /^([+-]?)(?:(nan)|inf(?:inity)?)$/i

const double = (text: string): number | undefined => {
  const [notFinite, sign, nan] = notFinitePattern.exec(text) ?? []
  if (notFinite !== undefined) return nan === undefined ? Number(`${sign}Infinity`) : Number.NaN
  const number = numberPattern.test(text) ? Number(text) : Number.NaN
  return Number.isFinite(number) ? number : undefined
}

const integer = (text: string): Parameter | undefined => {
  if (!/^-?\d+$/.test(text)) return undefined
  return Number.isSafeInteger(Number(text)) ? Number(text) : BigInt(text)
}

const decimal = (text: string): Parameter | undefined => Option.getOrUndefined(BigDecimal.fromString(text))

/** A reader of numbers with an explicit type. */
const numeric =
  (type: Numeric.Type, read: (text: string) => Parameter | undefined): Type["read"] =>
  (text) => {
    const number = Numeric.make(type, read(text))
    return typeof number === "string" ? undefined : number
  }

const types: Readonly<Record<string, Type>> = {
  text: { form: "any text", read: (text) => text },
  integer: { form: "digits", read: integer },
  bigint: { form: "digits of 64 bits", read: numeric("bigint", integer) },
  hugeint: { form: "digits of 128 bits", read: numeric("hugeint", integer) },
  decimal: { form: "digits with a point, at most 38", read: numeric("decimal", decimal) },
  double: { form: "a number, inf or nan", read: numeric("double", double) },
  boolean: { form: "true or false", read: (text) => ({ true: true, false: false })[text] },
  timestamp: {
    form: "a time with its zone and at most 6 digits of a second, such as 2026-01-31T12:00:00.123456Z",
    read: timestamp
  },
  blob: { form: "base64, or hex:00ff", read: blob },
  // DuckDB accepts a text as a document. Its own structures could not hold every JSON value.
  json: { form: "JSON", read: (text) => (parsed(text) === undefined ? undefined : text) },
  list: { form: "a list in JSON, such as [1,2]", read: list },
  struct: { form: 'an object in JSON, such as {"a":1}', read: struct }
}

/** The types whose values are read from JSON. */
const nested: ReadonlySet<string> = new Set(["list", "struct"])

/** SQL aliases of the types. */
const aliases: Readonly<Record<string, string>> = {
  string: "text",
  varchar: "text",
  int: "integer",
  numeric: "decimal",
  float: "double",
  bool: "boolean",
  bytes: "blob"
}

/** The types that a parameter may name. */
export const typeNames: ReadonlyArray<string> = Object.keys(types)

/** The value of a text as a type, or the expected form. */
export const read = (name: string, text: string): { readonly value: Parameter } | string => {
  const lower = name.toLowerCase()
  const known = Object.hasOwn(aliases, lower) ? (aliases[lower] ?? lower) : lower
  const type = Object.hasOwn(types, known) ? types[known] : undefined
  if (type === undefined) return `a type of ${typeNames.join(", ")}, not ${name}`
  const value = type.read(text)
  // A JSON parser would silently keep the last one.
  const repeated = typeof value === "object" && nested.has(known) ? JsonNames.repeated(text) : undefined
  if (repeated !== undefined) {
    return `${type.form} for the type ${name}, in which ${JSON.stringify(repeated.slice(0, 64))} is a name only once`
  }
  return value === undefined ? `${type.form} for the type ${name}, not ${JSON.stringify(text)}` : { value }
}
