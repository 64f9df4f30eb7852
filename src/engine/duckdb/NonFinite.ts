/**
 * Makes JSON of DuckDB's JSON: `NaN`, `Infinity` and their spellings become `null`.
 *
 * DuckDB prints non-finite numbers as bare words, wherever they are nested, and JSON columns keep those of
 * their own text. Mending the bytes treats all of these alike and costs one search where there are none.
 */

/** A test whether a piece of text may hold such a word, chosen by the types of its columns. */
export type Suspicion = (bytes: Buffer) => boolean

/**
 * The cheapest sufficient {@link Suspicion} for columns of these types, `undefined` where no value can be
 * non-finite. The types are DuckDB's own names for them, with nested ones spelled out.
 */
export const suspicion = (types: ReadonlyArray<string>): Suspicion | undefined => {
  const all = types.join()
  // A JSON column holds what its author wrote, in any case; a number is always printed alike.
  if (all.includes("JSON")) return (bytes) => /nan|inf/i.test(bytes.toString("latin1"))
  if (/FLOAT|DOUBLE/.test(all)) return (bytes) => bytes.includes("NaN") || bytes.includes("Infinity")
  return undefined
}

const quote = 0x22
const backslash = 0x5c
const minus = 0x2d
const nul = Buffer.from("null")
const noBytes = Buffer.alloc(0)

const isLetter = (byte: number): boolean => (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a
const isNumeric = (byte: number): boolean => (byte >= 0x30 && byte <= 0x39) || byte === 0x2e

/** Replaces the bare words other than `true`, `false` and `null` in whole JSON values by `null`. */
export const mend = (bytes: Buffer<ArrayBuffer>): Buffer<ArrayBuffer> => {
  const mender = new Mender()
  const mended = mender.push(bytes)
  const rest = mender.end()
  return rest.length === 0 ? mended : Buffer.concat([mended, rest])
}

/** Does what {@link mend} does to a text that comes in pieces, wherever they are cut. */
export class Mender {
  private within: "value" | "string" | "escape" | "number" = "value"
  /** A word, or its sign, that the last piece ended in. */
  private held: Buffer = noBytes

  /** The mended piece, but for a word at its end, which comes with the next one. */
  push(piece: Buffer<ArrayBuffer>): Buffer<ArrayBuffer> {
    const bytes = this.held.length === 0 ? piece : Buffer.concat([this.held, piece])
    const parts: Array<Buffer> = []
    let kept = 0
    let at = 0
    this.held = noBytes
    while (at < bytes.length) {
      const byte = bytes[at] as number
      if (this.within !== "value") {
        at = this.through(bytes, at)
      } else if (byte === quote) {
        this.within = "string"
        at++
      } else if (isNumeric(byte)) {
        this.within = "number"
      } else if (byte === minus || isLetter(byte)) {
        const end = wordEnd(bytes, byte === minus ? at + 1 : at)
        if (end === bytes.length) break
        if (!isWord(bytes, at, end)) {
          parts.push(bytes.subarray(kept, at), nul)
          kept = end
        }
        at = end
      } else {
        at++
      }
    }
    this.held = bytes.subarray(at)
    if (kept === 0 && at === bytes.length) return bytes
    parts.push(bytes.subarray(kept, at))
    return Buffer.concat(parts)
  }

  /** What was held back of a text that has ended. */
  end(): Buffer {
    return isWord(this.held, 0, this.held.length) ? this.held : nul
  }

  /** To the end of a string or number, or of the piece. */
  private through(bytes: Buffer, start: number): number {
    switch (this.within) {
      case "escape":
        this.within = "string"
        return start + 1
      case "string": {
        const end = stringEnd(bytes, start)
        if (end < bytes.length) this.within = bytes[end] === quote ? "value" : "escape"
        return Math.min(end + 1, bytes.length)
      }
      default: {
        const end = numberEnd(bytes, start)
        if (end < bytes.length) this.within = "value"
        return end
      }
    }
  }
}

/** Where the next quote or backslash of a string is. */
const stringEnd = (bytes: Buffer, start: number): number => {
  let at = start
  while (at < bytes.length && bytes[at] !== quote && bytes[at] !== backslash) at++
  return at
}

const isExponent = (byte: number): boolean => (byte | 0x20) === 0x65

/** Past the exponent's letter, which is no word. */
const numberEnd = (bytes: Buffer, start: number): number => {
  let at = start
  while (at < bytes.length && (isNumeric(bytes[at] as number) || isExponent(bytes[at] as number))) at++
  return at
}

const wordEnd = (bytes: Buffer, start: number): number => {
  let at = start
  while (at < bytes.length && isLetter(bytes[at] as number)) at++
  return at
}

/** Whether this is a word of JSON, or only the sign of a number. */
const isWord = (bytes: Buffer, start: number, end: number): boolean => {
  if (end - start <= 1) return end === start || bytes[start] === minus
  const word = bytes.toString("latin1", start, end)
  return word === "true" || word === "false" || word === "null"
}
