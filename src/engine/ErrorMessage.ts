/**
 * Error messages, which may quote any text of a query.
 */

/** Longest message of an error, in bytes of UTF-8. */
export const maxBytes = 4096

const mark = "…"
const encoder = new TextEncoder()

const maxQuoted = 500
const lossy = new TextDecoder()

/**
 * The start of a body, quoted for an error message, without characters that could hide text or
 * control a terminal.
 */
export const quoted = (body: Uint8Array): string => {
  const text = lossy.decode(body.subarray(0, maxQuoted))
  const escaped = text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u{${char.codePointAt(0)?.toString(16)}}`
  )
  return body.length > maxQuoted ? `${escaped}${mark}` : escaped
}

/** A message of at most {@link maxBytes}. A longer one is cut and ends with `…`. */
export const bounded = (message: string): string => {
  if (encoder.encodeInto(message, new Uint8Array(maxBytes)).read === message.length) return message
  const room = new Uint8Array(maxBytes - encoder.encode(mark).length)
  return message.slice(0, encoder.encodeInto(message, room).read) + mark
}
