/**
 * Turns DuckDB's JSON into valid JSON: `NaN`, `Infinity` and their spellings become `null`, or strings if
 * numbers may be strings, and `.5` becomes `0.5`.
 *
 * DuckDB prints non-finite numbers as bare words at any depth, and JSON columns keep those of their own text.
 * Repairing the bytes treats all of these alike and costs one search where there are none.
 */
import { type DuckDBType, DuckDBTypeId } from "@duckdb/node-api"
import type { Numbers } from "../QueryApi.ts"
import * as Types from "./Types.ts"

/** A test whether a piece of text may hold such a word or number, chosen by the types of its columns. */
export type Suspicion = (bytes: Buffer) => boolean

/**
 * The cheapest sufficient {@link Suspicion} for columns of these types, `undefined` if nothing needs repair.
 * `JsonSql` itself handles columns of numbers.
 */
export const suspicion = (types: ReadonlyArray<DuckDBType>): Suspicion | undefined => {
  // A JSON column holds its author's text, in any case; DuckDB always prints numbers alike.
  if (types.some((type) => Types.some(type, Types.isJson))) return matches(/nan|inf|[[,:]-?\./i)
  const inner = types.filter((type) => Types.childrenOf(type).length > 0)
  const hasFraction = inner.some((type) => Types.some(type, isFraction))
  const hasFloat = inner.some((type) => Types.some(type, Types.isFloat))
  if (hasFraction) return matches(hasFloat ? /NaN|Infinity|[[,:]-?\./ : /[[,:]-?\./)
  return hasFloat ? (bytes) => bytes.includes("NaN") || bytes.includes("Infinity") : undefined
}

const matches =
  (pattern: RegExp): Suspicion =>
  (bytes) =>
    pattern.test(bytes.toString("latin1"))

/** Whether numbers of the type have no digit before the point, and no room for one. */
const isFraction = (type: DuckDBType): boolean => type.typeId === DuckDBTypeId.DECIMAL && type.scale === 38

const quote = 0x22
const backslash = 0x5c
const minus = 0x2d
const point = 0x2e
const nul = Buffer.from("null")
const nan = Buffer.from('"NaN"')
const infinity = Buffer.from('"Infinity"')
const minusInfinity = Buffer.from('"-Infinity"')
const zero = Buffer.from("0")
const noBytes = Buffer.alloc(0)

const isLetter = (byte: number): boolean => (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a
const isNumeric = (byte: number): boolean => (byte >= 0x30 && byte <= 0x39) || byte === point

/** The replacement of a bare word. */
const replacement = (word: string, numbers: Numbers): Buffer => {
  if (numbers === "number") return nul
  switch (word.toLowerCase()) {
    case "nan":
    case "-nan":
      return nan
    case "inf":
    case "infinity":
      return infinity
    case "-inf":
    case "-infinity":
      return minusInfinity
    default:
      return nul
  }
}

/**
 * Replaces the bare words other than `true`, `false` and `null` in whole JSON values, and
 * completes fractions.
 */
export const mend = (bytes: Buffer<ArrayBuffer>, numbers: Numbers): Buffer<ArrayBuffer> => {
  const mender = new Mender(numbers)
  const mended = mender.push(bytes)
  const rest = mender.end()
  return rest.length === 0 ? mended : Buffer.concat([mended, rest])
}

/** Like {@link mend}, for a text in pieces that may be cut anywhere. */
export class Mender {
  private readonly numbers: Numbers
  private within: "value" | "string" | "escape" | "number" = "value"
  /** The word, or its sign, at the end of the last piece. */
  private held: Buffer = noBytes

  constructor(numbers: Numbers) {
    this.numbers = numbers
  }

  /** The repaired piece, without a word at its end, which comes with the next piece. */
  push(piece: Buffer<ArrayBuffer>): Buffer<ArrayBuffer> {
    const bytes = this.held.length === 0 ? piece : Buffer.concat([this.held, piece])
    const target = new Target(bytes)
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
        if (byte === point) target.insert(zero, at, at)
        this.within = "number"
      } else if (byte === minus || isLetter(byte)) {
        const end = wordEnd(bytes, byte === minus ? at + 1 : at)
        if (end === bytes.length) break
        if (!isWord(bytes, at, end)) {
          target.insert(replacement(bytes.toString("latin1", at, end), this.numbers), at, end)
        }
        at = end
      } else {
        at++
      }
    }
    this.held = bytes.subarray(at)
    return target.end(at)
  }

  /** The rest of the text, after its last piece. */
  end(): Buffer {
    return isWord(this.held, 0, this.held.length)
      ? this.held
      : replacement(this.held.toString("latin1"), this.numbers)
  }

  /** The end of a string or number, or of the piece. */
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

/** Bytes with replacements. */
class Target {
  private readonly bytes: Buffer<ArrayBuffer>
  private target: Buffer<ArrayBuffer> | undefined
  private length = 0
  /** How far the bytes have been copied. */
  private copied = 0

  constructor(bytes: Buffer<ArrayBuffer>) {
    this.bytes = bytes
  }

  /** Replaces the bytes from one place to another. */
  insert(text: Buffer, from: number, to: number): void {
    // Each byte becomes at most four: one may gain a zero or become null; three may become
    // "Infinity" with quotes.
    this.target ??= Buffer.allocUnsafeSlow(this.bytes.length * 4)
    this.copy(this.bytes, this.copied, from)
    this.copy(text, 0, text.length)
    this.copied = to
  }

  end(at: number): Buffer<ArrayBuffer> {
    if (this.target === undefined) return this.bytes.subarray(0, at)
    this.copy(this.bytes, this.copied, at)
    const whole = Buffer.allocUnsafeSlow(this.length)
    this.target.copy(whole, 0, 0, this.length)
    return whole
  }

  /** For a few bytes a native call takes longer than a loop. */
  private copy(source: Buffer, from: number, to: number): void {
    const target = this.target as Buffer
    if (to - from > 32) source.copy(target, this.length, from, to)
    else for (let at = from; at < to; at++) target[this.length + at - from] = source[at] as number
    this.length += to - from
  }
}

/** The place of the next quote or backslash of a string. */
const stringEnd = (bytes: Buffer, start: number): number => {
  let at = start
  while (at < bytes.length && bytes[at] !== quote && bytes[at] !== backslash) at++
  return at
}

const isExponent = (byte: number): boolean => (byte | 0x20) === 0x65

/** Includes the exponent's letter, which is no word. */
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

/** Whether the bytes are a word of JSON, or only the sign of a number. */
const isWord = (bytes: Buffer, start: number, end: number): boolean => {
  if (end - start <= 1) return end === start || bytes[start] === minus
  const word = bytes.toString("latin1", start, end)
  return word === "true" || word === "false" || word === "null"
}
