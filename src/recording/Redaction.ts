/**
 * Removes the values from bodies. Lengths are kept, and so is the structure of the bodies of the v1 API.
 *
 * **Details**
 *
 * Requests, accepts, rejects and errors keep the names of fields, and the values that the protocol depends on
 * (formats, codes, types). Queries and names of columns lose their literals, other texts become `x`s, numbers
 * `0` and booleans `false`. Results, and bodies that are not JSON, are omitted.
 */
import * as Message from "../protocol/Message.ts"
import type { Event } from "./Observer.ts"
import * as SqlLiterals from "./SqlLiterals.ts"

/**
 * The recorded content of a body: all its bytes, a JSON text without values, or nothing.
 *
 * @category models
 * @since 0.1.0
 */
export type Content =
  | { readonly _tag: "Exact"; readonly bytes: Uint8Array }
  | { readonly _tag: "Redacted"; readonly text: string }
  | { readonly _tag: "Omitted" }

const omitted: Content = { _tag: "Omitted" }

/** Levels of lists and objects; a body with more is omitted. */
const maxDepth = 64

type Mask = (value: unknown) => unknown

class TooDeep extends Error {}

const hide =
  (depth: number): Mask =>
  (value) => {
    if (depth > maxDepth) throw new TooDeep()
    if (typeof value === "string") return "x".repeat(value.length)
    if (typeof value === "number") return 0
    if (typeof value === "boolean") return false
    if (value === null) return null
    if (Array.isArray(value)) return value.map(hide(depth + 1))
    return Object.fromEntries(
      Object.entries(value as object).map(([name, inner]) => [name, hide(depth + 1)(inner)])
    )
  }

const hidden = hide(1)

/** A value that the protocol depends on: a flag, a number, or a word. */
const keep: Mask = (value) => {
  const isWord = typeof value === "string" && value.length <= 64 && /^[\w.+/ -]*$/.test(value)
  return isWord || typeof value === "number" || typeof value === "boolean" ? value : hidden(value)
}

const sql: Mask = (value) => (typeof value === "string" ? SqlLiterals.mask(value) : hidden(value))

/** Masks the fields of an object: those without a mask of their own are hidden. */
const fields =
  (masks: Readonly<Record<string, Mask>>): Mask =>
  (value) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return hidden(value)
    return Object.fromEntries(
      Object.entries(value).map(([name, inner]) => [
        name,
        (Object.hasOwn(masks, name) ? masks[name] : undefined)?.(inner) ?? hidden(inner)
      ])
    )
  }

const list =
  (mask: Mask): Mask =>
  (value) =>
    Array.isArray(value) ? value.map(mask) : hidden(value)

/** The names of types, in the shape of the parameters. */
const types: Mask = (value) =>
  Array.isArray(value)
    ? value.map(types)
    : typeof value === "object" && value !== null
      ? Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, keep(inner)]))
      : keep(value)

const error = fields({ code: keep, retryable: keep, position: keep, retryAfterMs: keep, closing: keep })

/** PROTOCOL.md §3. */
const bodies: ReadonlyMap<number, Mask> = new Map<number, Mask>([
  [
    Message.Type.Request,
    fields({
      version: keep,
      query: sql,
      parameterTypes: types,
      format: keep,
      numbers: keep,
      timeoutMs: keep,
      receipt: keep,
      readOnly: keep,
      progress: keep
    })
  ],
  [
    Message.Type.Accept,
    fields({
      format: keep,
      receipt: keep,
      readOnly: keep,
      progress: keep,
      columns: list(fields({ name: sql, type: sql, wideNumbers: keep }))
    })
  ],
  [Message.Type.Reject, error],
  [Message.Type.Error, error]
])

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const parse = (bytes: Uint8Array): { readonly text: string; readonly value: unknown } | undefined => {
  try {
    const text = decoder.decode(bytes)
    return { text, value: JSON.parse(text) }
  } catch {
    return undefined
  }
}

/** The body of a message of this type without its values. A body that has no values stays unchanged. */
export const redact = (type: number, bytes: Uint8Array): Content => {
  if (bytes.length === 0) return { _tag: "Exact", bytes }
  const mask = bodies.get(type)
  const body = mask === undefined ? undefined : parse(bytes)
  if (mask === undefined || body === undefined) return omitted
  try {
    const text = JSON.stringify(mask(body.value))
    // Compared as texts, since of a repeated name only one value was masked.
    return text === body.text ? { _tag: "Exact", bytes } : { _tag: "Redacted", text }
  } catch (thrown) {
    if (thrown instanceof TooDeep || thrown instanceof RangeError) return omitted
    throw thrown
  }
}

/** The recorded content of an event's bytes. Incomplete bytes are omitted. */
export const contentOf = (
  event: Extract<Event, { readonly _tag: "Frame" | "Bytes" }>,
  keepsValues: boolean
): Content => {
  if (event.bytes.length < event.length) return omitted
  if (keepsValues) return { _tag: "Exact", bytes: event.bytes }
  return event._tag === "Frame" ? redact(event.type, event.bytes) : omitted
}
