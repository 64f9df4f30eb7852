/**
 * The narrowest DuckDB type that holds a parameter: exact numbers keep their value, and the elements of a list have one
 * type in common.
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
import { Timestamp } from "../QueryApi.ts"

/** An exact number: an integer times a power of ten. */
export interface Exact {
  readonly value: bigint
  /** Digits behind the point, not negative. */
  readonly scale: number
}

/** A value that is an exact number, and `undefined` for all others. Decimals that no DECIMAL holds are none. */
export const exact = (value: unknown): Exact | undefined => {
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
  let decimal: Exact = { value, scale }
  // Zeros at the end are kept where there is room for them.
  while (!fits(digitsOf(decimal)) && decimal.scale > 0 && decimal.value % 10n === 0n) {
    decimal = { value: decimal.value / 10n, scale: decimal.scale - 1 }
  }
  return decimal.scale === 0 || fits(digitsOf(decimal)) ? decimal : undefined
}

/** Digits that a DECIMAL has. */
const maxDigits = 38

interface Digits {
  readonly whole: number
  readonly scale: number
}

const digitsOf = ({ scale, value }: Exact): Digits => {
  const digits = String(value < 0n ? -value : value).length
  return { whole: Math.max(digits - scale, value === 0n ? 1 : 0), scale }
}

const fits = ({ scale, whole }: Digits): boolean => whole + scale <= maxDigits

/** What is known of the values that are to have one type. */
export type Shape =
  | { readonly _tag: "Null" }
  | { readonly _tag: "Scalar"; readonly type: DuckDBType }
  | { readonly _tag: "Exact"; readonly min: bigint; readonly max: bigint; readonly digits: Digits }
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
  return number === undefined ? double : ofExact(number)
}

const ofExact = (number: Exact): Shape => {
  const whole = number.value / 10n ** BigInt(number.scale)
  return { _tag: "Exact", min: whole, max: whole, digits: digitsOf(number) }
}

const ascending = (a: bigint, b: bigint): number => (a < b ? -1 : Number(a > b))

/** The shape of values of both, or `undefined` where they have no type in common. */
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
        scale: Math.max(a.digits.scale, b.digits.scale)
      }
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

/** The type of a shape's values. Exact numbers that no type holds together are doubles. */
export const resolve = (shape: Shape): DuckDBType => {
  switch (shape._tag) {
    case "Null":
      return SQLNULL
    case "Scalar":
      return shape.type
    case "Exact": {
      const { scale, whole } = shape.digits
      if (scale === 0) return integer(shape.min, shape.max)
      // As DuckDB reads a literal, a zero before the point counts where there is room for it.
      return fits(shape.digits) ? DECIMAL(Math.min(Math.max(whole, 1) + scale, maxDigits), scale) : DOUBLE
    }
    case "List":
      return LIST(resolve(shape.item))
    case "Struct":
      return new DuckDBStructType([...shape.fields.keys()], [...shape.fields.values()].map(resolve))
  }
}
