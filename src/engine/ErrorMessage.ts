/**
 * The messages of errors, which may quote whatever a query holds.
 */

/** Longest message of an error, in bytes of UTF-8. */
export const maxBytes = 4096

const mark = "…"
const encoder = new TextEncoder()

/** A message of at most {@link maxBytes}: a longer one is cut, and ends with `…`. */
export const bounded = (message: string): string => {
  if (encoder.encodeInto(message, new Uint8Array(maxBytes)).read === message.length) return message
  const room = new Uint8Array(maxBytes - encoder.encode(mark).length)
  return message.slice(0, encoder.encodeInto(message, room).read) + mark
}
