/**
 * Makes foreign text safe to display: it cannot control a terminal or hide anything there, and stays on its
 * line in a log.
 *
 * **Details**
 *
 * An escape is written as in JSON, `\u001b` or as a pair `\udb40\udc41`: escaped JSON is still the same JSON.
 * These are escaped: control characters (C0, DEL and C1, with which every control sequence begins),
 * bidirectional controls, invisible characters (zero-width characters, tags, fillers), line and paragraph
 * separators, and halves of surrogate pairs. Variation selectors stay, since emoji look different without
 * them.
 */
import { Buffer } from "node:buffer"

const unprintable =
  /[[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\ufff9-\ufffb]--[\ufe00-\ufe0f]]/gv

/** The same except for tabs and line breaks. A lone carriage return would overwrite the line. */
const unprintableInText = new RegExp(`\\r\\n|[\\n\\t]|${unprintable.source}`, "gv")

const shortEscapes: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }

const hex = (code: number, digits: number): string => code.toString(16).padStart(digits, "0")

const escapeUnit = (unit: string): string => shortEscapes[unit] ?? `\\u${hex(unit.charCodeAt(0), 4)}`

/** The escape of one character; a pair of escapes for a surrogate pair. */
const escapeCharacter = (character: string): string => character.split("").map(escapeUnit).join("")

/** Text as one line: line breaks and tabs are escaped too. */
export const line = (text: string): string => text.replace(unprintable, escapeCharacter)

const kept: ReadonlySet<string> = new Set(["\n", "\t", "\r\n"])

/** Text of several lines: line breaks and tabs are kept. */
export const lines = (text: string): string =>
  text.replace(unprintableInText, (match) => (kept.has(match) ? match : escapeCharacter(match)))

/** At most `maxLength` UTF-16 units of a text, and the number of omitted ones. */
export const clip = (text: string, maxLength: number): string => {
  if (text.length <= maxLength) return text
  // A surrogate pair is not split.
  const end = /[\ud800-\udbff]/.test(text.charAt(maxLength - 1)) ? maxLength - 1 : maxLength
  return `${text.slice(0, end)}… (${text.length - end} more characters)`
}

/** Escapes bytes that arrive in chunks with arbitrary borders, as {@link lines} does. */
export interface Escaper {
  /** The text that can be shown so far. At most three bytes are withheld. */
  readonly push: (chunk: Uint8Array) => string
  /** The remaining text. */
  readonly end: () => string
}

/** An escaper of UTF-8. An invalid byte is shown as `\xff`. */
export const makeEscaper = (): Escaper => {
  let held: Uint8Array = new Uint8Array(0)
  return {
    push: (chunk) => {
      const bytes = held.length === 0 ? chunk : Buffer.concat([held, chunk])
      const { next, shown } = show(bytes)
      held = bytes.slice(next)
      return shown
    },
    end: () => {
      const rest = held
      held = rest.subarray(rest.length)
      return rest[0] === carriageReturn ? "\\r" : Array.from(rest, escapeByte).join("")
    }
  }
}

const carriageReturn = 0x0d
const lineFeed = 0x0a

const escapeByte = (byte: number): string => `\\x${hex(byte, 2)}`

/** The text of the bytes, up to the index at which more bytes are needed. */
const show = (bytes: Uint8Array): { readonly shown: string; readonly next: number } => {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  let shown = ""
  let start = 0
  let at = 0
  while (at < bytes.length) {
    const length = sequenceLength(bytes, at)
    if (length === undefined) break
    if (length > 0) {
      at += length
      continue
    }
    shown += lines(view.toString("utf8", start, at)) + escapeByte(bytes[at] as number)
    start = ++at
  }
  return { shown: shown + lines(view.toString("utf8", start, at)), next: at }
}

/**
 * The length of the character that begins there: 0 if it is invalid, `undefined` if the bytes end within it.
 */
const sequenceLength = (bytes: Uint8Array, at: number): number | undefined => {
  const first = bytes[at] as number
  if (first === carriageReturn) {
    if (at + 1 === bytes.length) return undefined
    return bytes[at + 1] === lineFeed ? 2 : 1
  }
  if (first < 0x80) return 1
  const length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0
  for (let i = 1; i < length; i++) {
    const byte = bytes[at + i]
    if (byte === undefined) return undefined
    if (byte < (i === 1 ? leastSecond(first) : 0x80) || byte > (i === 1 ? mostSecond(first) : 0xbf)) return 0
  }
  return length
}

// Overlong forms, surrogates, and values beyond the last character are not UTF-8.
const leastSecond = (first: number): number => (first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80)
const mostSecond = (first: number): number => (first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf)
