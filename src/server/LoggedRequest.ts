/** The logged form of a request: its query, and only the names and sizes of its parameters and metadata. */
import { Buffer } from "node:buffer"
import * as JsonBounds from "../engine/JsonBounds.ts"
import * as Limits from "../engine/Limits.ts"
import * as QueryApi from "../engine/QueryApi.ts"

/** Settings of the log that concern requests. */
export interface Options {
  /** Whether to show the values of parameters, and bodies that are not requests of the v1 query API. */
  readonly logValues?: boolean | undefined
}

/** The parts of a request that a log uses. */
export interface LoggedRequest {
  readonly text: string
  /** The client's own query id. */
  readonly queryId: string | undefined
  /** Values to hide, each with its replacement. */
  readonly hidden: ReadonlyArray<readonly [value: string, shown: string]>
  /** Whether the request could not be read, so that an error which quotes it may quote anything. */
  readonly isUnknown: boolean
  /** Whether it asks for the progress of another query. */
  readonly isQuestion: boolean
}

/** The fields of a request whose values are shown. */
const shown: ReadonlySet<string> = new Set([
  "version",
  "query",
  "format",
  "numbers",
  "timeoutMs",
  "queryId",
  "progressOf",
  "traceparent"
])

/** The maximum number of parameters shown by their sizes, and of values searched for in messages. */
const maxShown = 100

const bounds = { levels: Limits.defaults.maxNesting + 1, values: 2 * Limits.defaults.maxParameters }

/** Describes the body of a request. */
export const describe = (body: Uint8Array, { logValues = false }: Options): LoggedRequest => {
  const request = parse(body)
  if (request === undefined) return unknown(body, logValues)
  const { metadata, parameters, queryId } = request
  const fields = Object.entries(request).map(([name, value]) => {
    const isShown = isScalar(value) && shown.has(name)
    const all = isShown || (name === "parameters" && logValues)
    return `${JSON.stringify(name)}:${all ? JSON.stringify(value) : sizes(value)}`
  })
  return {
    text: `{${fields.join(",")}}`,
    queryId: typeof queryId === "string" ? queryId : undefined,
    hidden: [...values("metadata", metadata), ...(logValues ? [] : values("parameters", parameters))],
    isUnknown: false,
    isQuestion: QueryApi.progressOf(body) !== undefined
  }
}

const parse = (body: Uint8Array): Readonly<Record<string, unknown>> | undefined => {
  if (JsonBounds.exceeded(body, bounds) !== undefined) return undefined
  try {
    const value: unknown = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.length).toString("utf8"))
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}

/** A body that is no JSON object may contain anything, such as a truncated request. */
const unknown = (body: Uint8Array, logValues: boolean): LoggedRequest => {
  const text = Buffer.from(body.buffer, body.byteOffset, body.length).toString("utf8")
  const isShown = logValues && !/metadata|\\u/i.test(text)
  return {
    text: isShown ? text : `(${body.length} B)`,
    queryId: undefined,
    hidden: [],
    isUnknown: !isShown,
    isQuestion: false
  }
}

const isScalar = (value: unknown): value is string | number | boolean =>
  typeof value === "string" || typeof value === "number" || typeof value === "boolean"

/** The size of a value; for a list or an object, the sizes of its members. */
const sizes = (value: unknown): string => {
  if (Array.isArray(value)) {
    const items = value.slice(0, maxShown).map((item) => JSON.stringify(size(item)))
    return `[${[...items, ...more(value.length)].join(",")}]`
  }
  if (typeof value !== "object" || value === null) return JSON.stringify(size(value))
  const entries = Object.entries(value)
  const members = entries
    .slice(0, maxShown)
    .map(([name, member]) => `${JSON.stringify(name)}:${JSON.stringify(size(member))}`)
  return `{${[...members, ...more(entries.length)].join(",")}}`
}

const more = (count: number): ReadonlyArray<string> =>
  count > maxShown ? [JSON.stringify(`${count - maxShown} more`)] : []

const size = (value: unknown): string =>
  `${Buffer.byteLength(typeof value === "string" ? value : JSON.stringify(value))} B`

/** The scalars in a field, also nested ones, each with its path. */
const values = (field: string, value: unknown): ReadonlyArray<readonly [string, string]> => {
  const found: Array<readonly [string, string]> = []
  const rest: Array<readonly [string, unknown]> = [[field, value]]
  for (let next = rest.shift(); next !== undefined && found.length < maxShown; next = rest.shift()) {
    const [place, inner] = next
    if (typeof inner === "object" && inner !== null) {
      for (const [name, member] of Object.entries(inner).slice(0, maxShown))
        rest.push([`${place}.${name}`, member])
    } else if (typeof inner === "string" ? inner !== "" : typeof inner === "number") {
      found.push([String(inner), `<${place}>`])
    }
  }
  return found
}

/** The number of characters that identify a value in a truncated quotation. */
const enough = 32

/** The body of a reject or an error without the values of its request, which messages may quote. */
export const conceal = ({ hidden, isUnknown }: LoggedRequest, payload: Uint8Array): Uint8Array => {
  if (hidden.length === 0 && !isUnknown) return payload
  const error = parse(payload)
  const message = error?.["message"]
  if (typeof message !== "string") {
    return isUnknown ? payload : Buffer.from(hide(hidden, Buffer.from(payload).toString("utf8")))
  }
  return Buffer.from(
    JSON.stringify({ ...error, message: isUnknown ? `(${size(message)})` : hide(hidden, message) })
  )
}

/**
 * A text without hidden values, longer ones first. A short value is hidden only as a separate word: many
 * texts contain the digit 1.
 */
const hide = (hidden: LoggedRequest["hidden"], text: string): string =>
  hidden
    .toSorted(([a], [b]) => b.length - a.length)
    .reduce((hiding, [value, place]) => hideOne(hideOne(hiding, value, place), escaped(value), place), text)

/** As escaped in JSON. */
const escaped = (value: string): string => JSON.stringify(value).slice(1, -1)

const hideOne = (text: string, value: string, place: string): string => {
  const key = value.slice(0, enough)
  let result = ""
  let from = 0
  for (let at = text.indexOf(key); at !== -1; at = text.indexOf(key, from)) {
    let end = at + key.length
    while (end < text.length && end - at < value.length && text[end] === value[end - at]) end++
    const isHidden = value.length > enough || (isBorder(text, at) && isBorder(text, end))
    result += text.slice(from, at) + (isHidden ? place : text.slice(at, end))
    from = end
  }
  return result + text.slice(from)
}

const word = /[\p{L}\p{N}_]/u

/** Whether this position is a word boundary. */
const isBorder = (text: string, at: number): boolean =>
  !(word.test(text.charAt(at - 1)) && word.test(text.charAt(at)))
