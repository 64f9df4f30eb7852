/**
 * The encoding of requests, after validation: an invalid query must not end the connection, which others use
 * too.
 */
import { QueryError, type QueryRequest } from "./Models.ts"

/** The limits of the gateway, which it announces first. */
export interface Limits {
  /** Bytes of one message. */
  readonly maxMessageSize: number
  /** Bytes that may be granted to a query. */
  readonly maxCredit: number
}

export const noLimits: Limits = {
  maxMessageSize: Number.MAX_SAFE_INTEGER,
  maxCredit: Number.MAX_SAFE_INTEGER
}

const refused = (message: string, code = "bad_request") => new QueryError({ code, message })

/** The error of an invalid credit. Without any credit, a result would never arrive. */
export const creditError = (credit: unknown, { maxCredit }: Limits): QueryError | undefined => {
  if (Number.isInteger(credit) && (credit as number) >= 1 && (credit as number) <= maxCredit) return undefined
  const given = typeof credit === "string" ? JSON.stringify(credit) : String(credit)
  return refused(`credit: expected an integer from 1 to ${maxCredit}, not ${given}`)
}

const encoder = new TextEncoder()

/** A message has at most three bytes for each UTF-16 unit. */
const isLonger = (text: string, maximum: number): boolean =>
  text.length * 3 > maximum && encoder.encode(text).length > maximum

/** The message of a query, or the error of an invalid one. */
export const encode = (
  request: QueryRequest,
  { credit, id }: { readonly credit: number; readonly id: number },
  limits: Limits
): string | QueryError => {
  // Undefined fields are left out.
  const fields = Object.entries(request).filter(([, value]) => value !== undefined)
  for (const [name, value] of fields) {
    const found = problem(value, name)
    if (found !== undefined) return refused(found)
  }
  const wrong = creditError(credit, limits)
  if (wrong !== undefined) return wrong
  const message = JSON.stringify({ format: "ndjson", ...request, type: "query", id, credit })
  if (!isLonger(message, limits.maxMessageSize)) return message
  const sizes = fields.map(([name, value]) => ({ name, size: JSON.stringify(value).length }))
  const { name } = sizes.reduce((most, one) => (one.size > most.size ? one : most))
  return refused(
    `${name}: the request is longer than the ${limits.maxMessageSize} bytes that the gateway takes (httpMaxBodySize)`,
    "too_large"
  )
}

/** Levels of lists and objects; a value that contains itself has infinitely many. */
const maxLevels = 1000

/**
 * The path of the first value that JSON would change silently: a NaN becomes `null`, a `Map` an empty object.
 */
const problem = (value: unknown, path: string, level = 0): string | undefined => {
  switch (typeof value) {
    case "boolean":
    case "string":
      return undefined
    case "number":
      return Number.isFinite(value) ? undefined : `${path}: ${value} has no form in JSON`
    case "object":
      return value === null ? undefined : ofObject(value, path, level)
    default:
      return `${path}: ${value === undefined ? "undefined" : `a ${typeof value}`} has no form in JSON`
  }
}

const ofObject = (value: object, path: string, level: number): string | undefined => {
  if (level > maxLevels) return `${path.replace(/[.[].*$/s, "")}: a value is nested too deep, or holds itself`
  if (!Array.isArray(value) && !isPlain(value)) {
    return `${path}: a ${value.constructor?.name || "value with a class"} has no form in JSON`
  }
  // Not `entries` of a list, which skips missing elements. Parameters are counted from 1, as in SQL.
  const members = Array.isArray(value)
    ? Array.from(value, (one, index) => [level === 0 ? `.${index + 1}` : `[${index}]`, one] as const)
    : Object.entries(value).map(([name, one]) => [`.${name}`, one] as const)
  for (const [name, one] of members) {
    const found = problem(one, path + name, level + 1)
    if (found !== undefined) return found
  }
  return undefined
}

/** The results of `JSON.rawJSON` are plain too: they carry integers of any size. */
const isPlain = (value: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype
}
