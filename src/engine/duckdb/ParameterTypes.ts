/**
 * The narrowest DuckDB type that holds a parameter: exact numbers keep their value, and the elements of a
 * list share one type.
 */
import {
  BIGINT,
  BIGNUM,
  BLOB,
  BOOLEAN,
  DECIMAL,
  DOUBLE,
  DuckDBStructType,
  type DuckDBType,
  HUGEINT,
  INTEGER,
  LIST,
  SQLNULL,
  TIMESTAMPTZ,
  UHUGEINT,
  VARCHAR
} from "@duckdb/node-api"
import * as BigDecimal from "effect/BigDecimal"
import * as DateTime from "effect/DateTime"
import * as ExactJson from "../ExactJson.ts"
import { Numeric, type Parameter, Timestamp } from "../QueryApi.ts"

/** An exact number: an integer times a power of ten. */
export interface Exact {
  readonly value: bigint
  /** Digits after the point, not negative. */
  readonly scale: number
}

/** A value as an exact number; `undefined` for all others, including decimals that no DECIMAL holds. */
export const exact = (value: unknown): Exact | undefined => {
  if (value instanceof Numeric) return value.type === "double" ? undefined : exact(value.value)
  if (typeof value === "bigint") return { value, scale: 0 }
  if (typeof value === "number") {
    return Number.isSafeInteger(value) && !Object.is(value, -0)
      ? { value: BigInt(value), scale: 0 }
      : undefined
  }
  return BigDecimal.isBigDecimal(value) ? ofDecimal(value) : undefined
}

const ofDecimal = ({ scale, value }: BigDecimal.BigDecimal): Exact | undefined => {
  if (scale <= 0) return { value: value * 10n ** BigInt(-scale), scale: 0 }
  const { least, whole } = digitsOf({ value, scale })
  return least === 0 || whole + least <= maxDigits ? { value, scale } : undefined
}

/** The number times a power of ten, truncated to an integer. */
export const scaled = ({ scale, value }: Exact, to: number): bigint =>
  to < scale ? value / 10n ** BigInt(scale - to) : value * 10n ** BigInt(to - scale)

/** Most digits of a DECIMAL. */
const maxDigits = 38

interface Digits {
  readonly whole: number
  readonly scale: number
  /** The scale without trailing zeros, which are kept where there is room for them. */
  readonly least: number
}

const digitsOf = ({ scale, value }: Exact): Digits => {
  if (value === 0n) return { whole: 0, scale, least: 0 }
  const digits = String(value < 0n ? -value : value)
  const zeros = digits.length - digits.replace(/0+$/, "").length
  return { whole: Math.max(digits.length - scale, 0), scale, least: Math.max(scale - zeros, 0) }
}

/** The known properties of values that are to share one type. */
export type Shape =
  | { readonly _tag: "Null" }
  | { readonly _tag: "Scalar"; readonly type: DuckDBType }
  | {
      readonly _tag: "Exact"
      readonly min: bigint
      readonly max: bigint
      readonly digits: Digits
      /** Whether the type is a DECIMAL even without digits after the point. */
      readonly isDecimal: boolean
    }
  | { readonly _tag: "List"; readonly item: Shape }
  | { readonly _tag: "Struct"; readonly fields: ReadonlyMap<string, Shape> }

export const nothing: Shape = { _tag: "Null" }

const scalar = (type: DuckDBType): Shape => ({ _tag: "Scalar", type })
const boolean = scalar(BOOLEAN)
const double = scalar(DOUBLE)
const text = scalar(VARCHAR)
const blob = scalar(BLOB)
const timestamp = scalar(TIMESTAMPTZ)

/** The shape of a value that is neither list nor object. */
export const ofScalar = (value: unknown): Shape => {
  switch (typeof value) {
    case "boolean":
      return boolean
    case "string":
      return text
  }
  if (value === null) return nothing
  if (value instanceof Uint8Array) return blob
  if (DateTime.isDateTime(value) || value instanceof Timestamp) return timestamp
  const number = exact(value)
  if (number === undefined) return double
  const shape = ofExact(number)
  if (!(value instanceof Numeric)) return shape
  if (value.type === "decimal") return { ...shape, isDecimal: true }
  const max = value.type === "bigint" ? maxBigint : maxHugeint
  return { ...shape, min: -max - 1n, max }
}

const ofExact = (number: Exact): Extract<Shape, { _tag: "Exact" }> => {
  const whole = scaled(number, 0)
  return { _tag: "Exact", min: whole, max: whole, digits: digitsOf(number), isDecimal: false }
}

const ascending = (a: bigint, b: bigint): number => (a < b ? -1 : Number(a > b))

/** The shape that covers both, or `undefined` if they have no common type. */
export const merge = (a: Shape, b: Shape): Shape | undefined => {
  if (b._tag === "Null" || a === b) return a
  if (a._tag === "Null") return b
  if (a._tag === "Exact" && b._tag === "Exact") {
    const [min = a.min, , , max = a.max] = [a.min, a.max, b.min, b.max].toSorted(ascending)
    return {
      _tag: "Exact",
      min,
      max,
      digits: {
        whole: Math.max(a.digits.whole, b.digits.whole),
        scale: Math.max(a.digits.scale, b.digits.scale),
        least: Math.max(a.digits.least, b.digits.least)
      },
      isDecimal: a.isDecimal || b.isDecimal
    }
  }
  if ((a === double && b._tag === "Exact") || (b === double && a._tag === "Exact")) return double
  if (a._tag === "List" && b._tag === "List") {
    const item = merge(a.item, b.item)
    return item && { _tag: "List", item }
  }
  return a._tag === "Struct" && b._tag === "Struct" ? mergeStructs(a.fields, b.fields) : undefined
}

const mergeStructs = (a: ReadonlyMap<string, Shape>, b: ReadonlyMap<string, Shape>): Shape | undefined => {
  if (a.size !== b.size) return undefined
  const fields = new Map<string, Shape>()
  for (const [name, shape] of a) {
    const other = b.get(name)
    const merged = other && merge(shape, other)
    if (merged === undefined) return undefined
    fields.set(name, merged)
  }
  return { _tag: "Struct", fields }
}

const maxInteger = 2n ** 31n - 1n
const maxBigint = 2n ** 63n - 1n
const maxHugeint = 2n ** 127n - 1n
const maxUnsigned = 2n ** 128n - 1n

const integer = (min: bigint, max: bigint): DuckDBType => {
  const within = (most: bigint) => min >= -most - 1n && max <= most
  if (within(maxInteger)) return INTEGER
  if (within(maxBigint)) return BIGINT
  if (within(maxHugeint)) return HUGEINT
  return min >= 0n && max <= maxUnsigned ? UHUGEINT : BIGNUM
}

/** The type of exact numbers that no exact type can hold together. */
const none = SQLNULL

/** The type of a shape's values. */
export const resolve = (shape: Shape): DuckDBType => {
  switch (shape._tag) {
    case "Null":
      return SQLNULL
    case "Scalar":
      return shape.type
    case "Exact": {
      const { least, whole } = shape.digits
      const scale = Math.min(shape.digits.scale, Math.max(least, maxDigits - whole))
      if (scale === 0 && !(shape.isDecimal && whole <= maxDigits)) return integer(shape.min, shape.max)
      if (whole + scale > maxDigits) return none
      // As in DuckDB's literals, a zero before the point counts where there is room for it.
      return DECIMAL(Math.min(Math.max(whole, 1) + scale, maxDigits), scale)
    }
    case "List":
      return LIST(resolve(shape.item))
    case "Struct":
      return new DuckDBStructType([...shape.fields.keys()], [...shape.fields.values()].map(resolve))
  }
}

export const toDouble = (value: Parameter): number => {
  if (value instanceof Numeric) return toDouble(value.value)
  if (typeof value === "number") return value
  return Number(BigDecimal.isBigDecimal(value) ? ExactJson.decimalText(value) : value)
}

/**
 * Whether a double keeps the number: an integer must be equal, and any other number must be the shortest text
 * of the double. A decimal that no DECIMAL holds is a double by the protocol.
 */
export const isSameDouble = (value: Parameter): boolean => {
  const number = exact(value)
  if (number === undefined) return true
  const double = toDouble(value)
  if (!Number.isFinite(double)) return false
  return digitsOf(number).least === 0
    ? BigInt(double) === scaled(number, 0)
    : BigDecimal.equals(BigDecimal.fromNumberUnsafe(double), BigDecimal.make(number.value, number.scale))
}
