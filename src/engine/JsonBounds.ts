/**
 * Bounds on JSON that are checked before it is parsed: `JSON.parse` takes up to half a microsecond for each
 * value, and an element of the stack for each level.
 */

/** What a text of JSON may hold. */
export interface Bounds {
  /** Levels of lists and objects, the outermost counted. */
  readonly levels: number
  /** Values and names of members. */
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

/** Which of the bounds a text exceeds. One pass over the bytes, which need not be JSON. */
export const exceeded = (json: Uint8Array, bounds: Bounds): keyof Bounds | undefined => {
  let level = 0
  let values = 1
  for (let at = 0; at < json.length; at++) {
    const byte = json[at] as number
    if (byte === quote) {
      at = endOfString(json, at)
      continue
    }
    const bracket = byte & ~braceBit
    if (bracket === open) {
      values++
      if (++level > bounds.levels) return "levels"
    } else if (bracket === close) {
      level--
    } else if (byte === comma || byte === colon) {
      values++
    }
    if (values > bounds.values) return "values"
  }
  return undefined
}

/** The names of members that a text of JSON has, those included that occur twice in one object. */
export const members = (json: Uint8Array): number => {
  let count = 0
  for (let at = 0; at < json.length; at++) {
    const byte = json[at] as number
    if (byte === quote) at = endOfString(json, at)
    else if (byte === colon) count++
  }
  return count
}

/** Where the string that begins at `start` has its last quote, or the end of the text. */
const endOfString = (json: Uint8Array, start: number): number => {
  let at = start + 1
  while (at < json.length && json[at] !== quote) at += json[at] === backslash ? 2 : 1
  return at
}
