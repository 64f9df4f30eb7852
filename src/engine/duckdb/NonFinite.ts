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

const isLetter = (byte: number): boolean => (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a
const isNumeric = (byte: number): boolean => (byte >= 0x30 && byte <= 0x39) || byte === 0x2e

/** Replaces the bare words other than `true`, `false` and `null` in whole JSON values by `null`. */
export const mend = (bytes: Buffer<ArrayBuffer>): Buffer<ArrayBuffer> => {
  const parts: Array<Buffer> = []
  let kept = 0
  let at = 0
  while (at < bytes.length) {
    const byte = bytes[at] as number
    if (byte === quote) {
      at = stringEnd(bytes, at)
    } else if (isNumeric(byte)) {
      at = numberEnd(bytes, at)
    } else if (isLetter(byte)) {
      const end = wordEnd(bytes, at)
      if (!isJsonWord(bytes, at, end)) {
        const start = bytes[at - 1] === minus ? at - 1 : at
        parts.push(bytes.subarray(kept, start), nul)
        kept = end
      }
      at = end
    } else {
      at++
    }
  }
  if (parts.length === 0) return bytes
  parts.push(bytes.subarray(kept))
  return Buffer.concat(parts)
}

const stringEnd = (bytes: Buffer, start: number): number => {
  let at = start + 1
  while (at < bytes.length && bytes[at] !== quote) at += bytes[at] === backslash ? 2 : 1
  return at + 1
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

const isJsonWord = (bytes: Buffer, start: number, end: number): boolean => {
  const word = bytes.toString("latin1", start, end)
  return word === "true" || word === "false" || word === "null"
}
