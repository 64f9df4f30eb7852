/**
 * The values of parameters, and their form in a request: JSON, with a separate record of the types
 * that JSON lacks.
 */
import * as BigDecimal from "effect/BigDecimal"
import * as DateTime from "effect/DateTime"
import * as Value from "../settings/Value.ts"
import * as ExactJson from "./ExactJson.ts"
import * as Numeric from "./Numeric.ts"
import * as Timestamp from "./Timestamp.ts"
import * as WellFormed from "./WellFormed.ts"

/**
 * A parameter's value, which has an SQL equivalent.
 *
 * **Details**
 *
 * Integers of any size and decimals keep their value: a safe integer as a number, others as a `bigint` or
 * `BigDecimal`. Other numbers are doubles. `Uint8Array` is a BLOB. `Date` and `DateTime` are instants to the
 * millisecond, and `Timestamp` is an instant to the microsecond. A `Numeric` has its own explicit type.
 * Everything else (NaN, `undefined`, functions, maps and other class instances, non-integer decimals of more
 * than 38 digits) is refused by name.
 *
 * Engines get neither `Date` nor `DateTime.Zoned`: instants are `DateTime.Utc`, or `Timestamp`
 * where they are finer.
 *
 * @category models
 * @since 0.1.0
 */
export type Parameter =
  | null
  | boolean
  | number
  | bigint
  | string
  | BigDecimal.BigDecimal
  | Uint8Array
  | Date
  | DateTime.DateTime
  | Timestamp.Timestamp
  | Numeric.Numeric
  | ReadonlyArray<Parameter>
  | { readonly [name: string]: Parameter }

/** A list for positional parameters, an object for named ones. */
export type Parameters = ReadonlyArray<Parameter> | { readonly [name: string]: Parameter }

/** Explicit types of values, in the shape of the values; untyped parts are left out or null. */
export type Types =
  | "blob"
  | "timestamp"
  | Numeric.Type
  | null
  | ReadonlyArray<Types>
  | { readonly [name: string]: Types }

/** A parameter that cannot be sent, or a type that does not fit. The message names it. */
export class ParameterError extends Error {}

/** Most levels of lists and objects: a cyclic value has no end of them. */
const maxLevels = 1000

/** The parameter fields of a request. */
export interface Encoded {
  readonly parameters: unknown
  readonly parameterTypes?: Types
}

interface Typed {
  readonly json: unknown
  readonly types?: Types
}

/** Encodes parameters as fields of a request. Throws a {@link ParameterError}. */
export const encode = (parameters: Parameters): Encoded => {
  const { json, types } = isList(parameters)
    ? list(parameters, "parameters", 1)
    : record(plain(parameters, "parameters"), "parameters", 1)
  return types === undefined ? { parameters: json } : { parameters: json, parameterTypes: types }
}

const isList = (value: unknown): value is ReadonlyArray<Parameter> => Array.isArray(value)

const refuse = (path: string, why: string): never => {
  throw new ParameterError(`${path}: ${why}`)
}

const typed = (value: unknown, path: string, level: number): Typed => {
  switch (typeof value) {
    case "boolean":
      return { json: value }
    case "string":
      return { json: value.isWellFormed() ? value : refuse(path, WellFormed.problem) }
    case "number":
      return { json: number(value, path) }
    case "bigint":
      return { json: raw(String(value)) }
    case "object":
      return value === null ? { json: null } : object(value, path, level)
    default:
      return refuse(path, `${value === undefined ? "undefined" : `a ${typeof value}`} has no SQL value`)
  }
}

const object = (value: object, path: string, level: number): Typed => {
  if (level > maxLevels) return refuse(path, "the value is nested too deep, or holds itself")
  if (isList(value)) return list(value, path, level + 1)
  if (value instanceof Uint8Array) return { json: Buffer.from(value).toString("base64"), types: "blob" }
  if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) return refuse(path, "an invalid Date has no SQL value")
    return { json: value.toISOString(), types: "timestamp" }
  }
  if (value instanceof Timestamp.Timestamp) {
    const json = Timestamp.format(value) ?? refuse(path, `expected ${Timestamp.tooFar}`)
    return { json, types: "timestamp" }
  }
  if (DateTime.isDateTime(value)) return { json: DateTime.formatIso(value), types: "timestamp" }
  if (BigDecimal.isBigDecimal(value)) return { json: decimal(value, path) }
  if (value instanceof Numeric.Numeric) return numeric(value, path)
  return record(plain(value, path), path, level + 1)
}

/** A plain object: no class instance. */
const plain = (value: unknown, path: string): Readonly<Record<string, unknown>> => {
  if (typeof value !== "object" || value === null) return refuse(path, "expected a list or an object")
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
    ? (value as Readonly<Record<string, unknown>>)
    : refuse(path, `${Value.describe(value)} has no SQL value`)
}

/** A part of a value. A getter may compute it, and throw. */
const part = (value: object, name: string | number, path: string): unknown => {
  try {
    return (value as Readonly<Record<string | number, unknown>>)[name]
  } catch (cause) {
    return refuse(
      path,
      `it cannot be read (${cause instanceof Error ? cause.message : Value.describe(cause)})`
    )
  }
}

const list = (values: ReadonlyArray<unknown>, path: string, level: number): Typed => {
  // Not `map`, which skips holes. Parameters are counted from 1, as in SQL.
  const all = Array.from({ length: values.length }, (_, index) => {
    const at = level === 1 ? `${path}.${index + 1}` : `${path}[${index}]`
    return typed(part(values, index, at), at, level)
  })
  const json = all.map((one) => one.json)
  return all.every(({ types }) => types === undefined)
    ? { json }
    : { json, types: all.map(({ types }) => types ?? null) }
}

const record = (value: Readonly<Record<string, unknown>>, path: string, level: number): Typed => {
  const all = Object.keys(value).map((name) => {
    if (!name.isWellFormed()) refuse(path, "a name has half a surrogate pair")
    const at = `${path}.${name}`
    return [name, typed(part(value, name, at), at, level)] as const
  })
  const types = all.flatMap(([name, one]) => (one.types === undefined ? [] : [[name, one.types] as const]))
  const json = Object.fromEntries(all.map(([name, one]) => [name, one.json]))
  return types.length === 0 ? { json } : { json, types: Object.fromEntries(types) }
}

/** A number that JSON writes verbatim. */
const raw = (text: string): unknown =>
  (JSON as unknown as { rawJSON: (text: string) => unknown }).rawJSON(text)

/** Most digits of a non-integer decimal; a longer one would be read as a double. */
const maxDigits = 38

/**
 * The texts that are more than plain text: JSON's words, its numbers without an exponent, and its strings.
 */
const scalarPattern = /^(?:true|false|null|".*"|-?(?:0|[1-9]\d*)(?:\.\d+)?)$/s

/**
 * The value of a parameter given as plain text, as on a command line and in a URL: a JSON scalar if the text
 * is one, or else the text itself.
 *
 * **Details**
 *
 * A number keeps its digits. Some texts are not read as numbers and stay texts: those with an exponent, a
 * negative zero, blanks around the number, more than 38 digits with a point, or integers of more than 10,000
 * digits. `"…"` with its quotes is always a string.
 */
export const fromText = (text: string): Parameter => {
  if (!scalarPattern.test(text)) return text
  let value: unknown
  try {
    value = ExactJson.parse(text)
  } catch {
    return text
  }
  const isTooLong = BigDecimal.isBigDecimal(value) && text.replace(/^-?0?|\./g, "").length > maxDigits
  return isTooLong || Object.is(value, -0) ? text : (value as Parameter)
}

const decimal = (value: BigDecimal.BigDecimal, path: string): unknown => {
  const { scale, value: digits } = BigDecimal.normalize(value)
  const count = Math.max(String(digits < 0n ? -digits : digits).length, scale)
  return scale > 0 && count > maxDigits
    ? refuse(path, `a decimal of more than ${maxDigits} digits has no SQL value`)
    : raw(ExactJson.decimalText(value))
}

/** The JSON of a number. A non-integer is a double; without an exponent it would be read as a decimal. */
const number = (value: number, path: string): unknown => {
  if (!Number.isFinite(value)) return refuse(path, `${value} has no SQL value`)
  const text = Object.is(value, -0) ? "-0" : String(value)
  return raw(Number.isSafeInteger(value) || text.includes("e") ? text : `${text}e0`)
}

const numeric = ({ type, value }: Numeric.Numeric, path: string): Typed => {
  const checked = Numeric.make(type, value)
  const json = typeof checked === "string" ? refuse(path, checked) : Numeric.format(checked)
  return { json: typeof json === "string" ? json : raw(json.raw), types: type }
}

const base64 = /^(?:[\w+/]{4})*(?:[\w+/]{2}==|[\w+/]{3}=)?$/

/** The parameter values in a request's JSON, given their types. Throws a {@link ParameterError}. */
export const decode = (json: unknown, types: unknown, path = "parameters"): unknown => {
  if (types === undefined || types === null) return json
  // NULL has every type.
  if (json === null && (typeof types === "object" || isName(types))) return null
  if (types === "blob") {
    if (typeof json === "string" && base64.test(json)) return Uint8Array.from(Buffer.from(json, "base64"))
    return refuse(path, "a blob is a text in base64")
  }
  if (types === "timestamp") return instant(json, path)
  if (Numeric.isType(types)) {
    const number = Numeric.make(types, json)
    return typeof number === "string" ? refuse(path, number) : number
  }
  if (Array.isArray(types) && isList(json) && types.length <= json.length) {
    return json.map((value, index) => decode(value, types[index], `${path}.${index + 1}`))
  }
  if (isRecord(types) && isRecord(json)) {
    const other = Object.keys(types).find((name) => !Object.hasOwn(json, name))
    if (other !== undefined) {
      return refuse(
        `parameterTypes${path.slice("parameters".length)}.${other}`,
        "parameters has nothing of this name"
      )
    }
    return Object.fromEntries(
      Object.entries(json).map(([name, value]) => [
        name,
        Object.hasOwn(types, name) ? decode(value, types[name], `${path}.${name}`) : value
      ])
    )
  }
  return refuse(path, "parameterTypes has another shape than parameters, or names an unknown type")
}

const isName = (types: unknown): boolean => types === "blob" || types === "timestamp" || Numeric.isType(types)

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const isoPattern = /^[+-]?\d{4,6}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/

const instant = (json: unknown, path: string): DateTime.Utc | Timestamp.Timestamp => {
  const read = typeof json === "string" && isoPattern.test(json) ? Timestamp.parse(json) : undefined
  return read === undefined || typeof read === "string"
    ? refuse(path, read ?? "a timestamp is a text such as 2026-01-31T12:00:00.123456Z, in UTC")
    : read
}
