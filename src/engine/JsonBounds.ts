/**
 * Bounds on JSON that are checked before it is parsed: `JSON.parse` takes up to half a microsecond for each
 * value, and a stack frame for each level.
 */

import { Buffer } from "node:buffer"
import type { RequestLimits } from "./Limits.ts"

/** Bounds on a text of JSON. */
export interface Bounds {
  /** Levels of lists and objects, including the outermost. */
  readonly levels: number
  /** Values and member names. */
  readonly values: number
}

const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const colon = 0x3a
/** `[` and `]` differ from `{` and `}` in this bit. */
const braceBit = 0x20
const open = 0x5b
const close = 0x5d

/** A bound that a text exceeds. */
export interface Excess {
  readonly bound: keyof Bounds
  /** The member of the outermost object that exceeds it. */
  readonly member: string
}

/** The first bound that a text exceeds. One pass over the bytes, which need not be JSON. */
export const exceeded = (json: Uint8Array, bounds: Bounds): Excess | undefined => {
  let level = 0
  let values = 1
  let start = 0
  let member: readonly [start: number, end: number] = [0, 0]
  const excess = (bound: keyof Bounds): Excess => ({ bound, member: textOf(json, ...member) })
  for (let at = 0; at < json.length; at++) {
    const byte = json[at] as number
    if (byte === quote) {
      start = at + 1
      at = endOfString(json, at)
      continue
    }
    if (byte === colon && level === 1) member = [start, start + json.subarray(start, at).lastIndexOf(quote)]
    const bracket = byte & ~braceBit
    if (bracket === open) {
      values++
      if (++level > bounds.levels) return excess("levels")
    } else if (bracket === close) {
      level--
    } else if (byte === comma || byte === colon) {
      values++
    }
    if (values > bounds.values) return excess("values")
  }
  return undefined
}

/** Values and member names of a request's fields other than its parameters. */
const ownValues = 256

/** The limit that a request exceeds, with its field, for an error message. */
export const problem = (
  request: Uint8Array,
  { maxNesting, maxParameters }: Pick<RequestLimits, "maxNesting" | "maxParameters">
): string | undefined => {
  const excess = exceeded(request, { levels: maxNesting + 1, values: maxParameters + ownValues })
  if (excess === undefined) return undefined
  const where = excess.member === "" ? "The request has" : `${excess.member.slice(0, 64)}:`
  return excess.bound === "levels"
    ? `${where} more than ${maxNesting} levels of lists and objects (maxNesting)`
    : `${where} more than ${maxParameters} values and names of members (maxParameters)`
}

/** The number of member names in a text of JSON, including names that are repeated in one object. */
export const members = (json: Uint8Array): number => {
  let count = 0
  for (let at = 0; at < json.length; at++) {
    const byte = json[at] as number
    if (byte === quote) at = endOfString(json, at)
    else if (byte === colon) count++
  }
  return count
}

/** Longer values are ignored: no field read here needs them. */
const maxScalar = 1024

/**
 * The scalar values of the named members of the outermost object, as JSON text; nothing else is decoded. The
 * last of several members with one name counts. The text need not be JSON.
 */
export const scalars = (json: Uint8Array, names: Iterable<string>): ReadonlyMap<string, string> => {
  const places = new Map<string, readonly [start: number, end: number]>()
  // Bytes are compared, so that no strings are made of the names of what may be a hundred thousand members.
  const wanted = Array.from(names, (name) => ({ name, bytes: Buffer.from(name) }))
  let level = 0
  let start = 0
  let end = 0
  let name: string | undefined
  let value = 0
  for (let at = 0; at < json.length; at++) {
    const byte = json[at] as number
    if (byte === quote) {
      start = at + 1
      end = endOfString(json, at)
      at = end
    } else if (byte === colon && level === 1) {
      name = wanted.find(({ bytes }) => isAt(json, start, end, bytes))?.name
      value = at + 1
    } else if ((byte & ~braceBit) === open) {
      level++
    } else if (byte === comma || (byte & ~braceBit) === close) {
      if (level === 1 && name !== undefined) {
        places.set(name, [value, at])
        name = undefined
      }
      if (byte !== comma) level--
    }
  }
  return new Map(Array.from(places, ([name, [start, end]]) => [name, textOf(json, start, end)]))
}

/** A value as text, or an empty text for a long one. */
const textOf = ({ buffer, byteOffset }: Uint8Array, start: number, end: number): string =>
  end - start < maxScalar
    ? Buffer.from(buffer, byteOffset + start, end - start)
        .toString("utf8")
        .trim()
    : ""

/** Whether the bytes between `start` and `end` are equal to these. */
const isAt = (json: Uint8Array, start: number, end: number, bytes: Uint8Array): boolean => {
  if (end - start !== bytes.length) return false
  for (let i = 0; i < bytes.length; i++) if (json[start + i] !== bytes[i]) return false
  return true
}

/** The place of the last quote of the string that begins at `start`, or the end of the text. */
const endOfString = (json: Uint8Array, start: number): number => {
  let at = start + 1
  while (at < json.length && json[at] !== quote) at += json[at] === backslash ? 2 : 1
  return at
}
