/**
 * Converts JSON values to the values that a schema accepts: numbers from the texts of their digits, `bigint`
 * and `BigDecimal`, times, and bytes.
 *
 * A value that cannot be converted exactly stays unchanged, so that the schema refuses it with its path.
 */
import * as BigDecimal from "effect/BigDecimal"
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import { Timestamp } from "../engine/QueryApi.ts"
import * as RowNumbers from "./RowNumbers.ts"
import * as RowTypes from "./RowTypes.ts"

/** Converts a value for a schema, or returns it unchanged. */
export type Read = (value: unknown) => unknown

/** The same for a value whose text has a meaning, by the type of its column. */
type ReadText = (value: unknown, kind: RowTypes.Kind) => unknown

/** Reading digits takes more than linear time. */
const maxDigits = 10_000

const numberPattern = /^-?\d+(\.\d+)?(e[-+]?\d{1,3})?$/i

const isNumber = (text: string): boolean => text.length <= maxDigits && numberPattern.test(text)

const toNumber: ReadText = (value, kind) => {
  // In JSON, only a number that a JavaScript number cannot represent becomes a text.
  if (typeof value !== "string" || !(kind === "number" || kind === "any")) return value
  if (value === "NaN" || value === "Infinity" || value === "-Infinity") return Number(value)
  return isNumber(value) && RowNumbers.keeps(value.replace(/^-/, "")) ? Number(value) : value
}

/**
 * The digits of a number. A JSON number had the digits that it is printed with here (`RowNumbers`). A JSON
 * text may be a number only if no number could have represented it.
 */
const digitsOf = (value: unknown, kind: RowTypes.Kind): string | undefined => {
  if (typeof value === "number") return String(value)
  if (typeof value !== "string" || !isNumber(value)) return undefined
  if (kind === "json") return RowNumbers.keeps(value.replace(/^-/, "")) ? undefined : value
  return kind === "number" || kind === "any" ? value : undefined
}

const toBigInt: ReadText = (value, kind) => {
  const digits = digitsOf(value, kind)
  return digits !== undefined && /^-?\d+$/.test(digits) ? BigInt(digits) : value
}

const toBigDecimal: ReadText = (value, kind) => {
  const digits = digitsOf(value, kind)
  return digits === undefined ? value : Option.getOrElse(BigDecimal.fromString(digits), () => value)
}

interface Instant {
  /** Shifted into the years of `Date` by this number of {@link cycle}s. */
  readonly millis: number
  readonly cycles: number
  /** In addition to the milliseconds. */
  readonly nanos: number
}

/** DuckDB's suffix of a day before the year 1. */
const beforeChrist = " (BC)"

const timePattern =
  /^(?:\d{4,6}-\d\d-\d\d(?: \(BC\))?|[-+]\d{6}-\d\d-\d\d)(?:[ T]\d\d:\d\d:\d\d(?:\.\d{1,9})?)?(?:Z|[-+]\d\d(?::\d\d)?)?$/

const daysOf = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

const daysIn = (year: number, month: number): number =>
  month === 2 && year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : (daysOf[month - 1] ?? 0)

/** The calendar repeats after this many years. */
const cycle = 400
const cycleMillis = 146_097 * 86_400_000

const lastMillis = 8.64e15

/**
 * Years from here on are shifted by this number of cycles: `Date` has some of the first of them and no later
 * ones.
 */
const lastYear = 270_000
const farCycles = 100

const two = (text: string, at: number): number => text.charCodeAt(at) * 10 + text.charCodeAt(at + 1) - 528

/** The nanoseconds of a fraction, which begins with a point. */
const nanosOf = (text: string, from: number, end: number): number => {
  let nanos = 0
  for (let at = from + 1; at < from + 10; at++) nanos = nanos * 10 + (at < end ? text.charCodeAt(at) - 48 : 0)
  return nanos
}

/** The minutes by which a zone is ahead. */
const offsetOf = (zone: string): number => {
  if (zone === "" || zone === "Z") return 0
  const minutes = two(zone, 1) * 60 + (zone.length > 3 ? two(zone, 4) : 0)
  return zone.startsWith("-") ? -minutes : minutes
}

/** The instant of a time, in UTC unless it has a zone. */
const instant = (given: unknown, kind: RowTypes.Kind): Instant | undefined => {
  if (!(kind === "time" || kind === "json" || kind === "any")) return undefined
  if (typeof given !== "string" || !timePattern.test(given)) return undefined
  const value = given.replace(beforeChrist, "")
  // A year may have a sign.
  const day = value.indexOf("-", 1)
  const counted = Number(value.slice(0, day))
  // The year before the year 1 is the year 0.
  const year = value === given ? counted : 1 - counted
  const isTime = value[day + 6] === " " || value[day + 6] === "T"
  const second = isTime ? day + 15 : day + 6
  const isFraction = value[second] === "."
  let end = isFraction ? second + 1 : second
  while (isFraction && end < value.length && value.charCodeAt(end) >= 48 && value.charCodeAt(end) <= 57) end++
  const nanos = nanosOf(value, second, end)
  const [month, date] = [two(value, day + 1), two(value, day + 4)]
  const [hours, minutes, seconds] = isTime
    ? [two(value, day + 7), two(value, day + 10), two(value, day + 13)]
    : [0, 0, 0]
  if (date < 1 || date > daysIn(year, month) || hours > 23 || minutes > 59 || seconds > 59) return undefined
  // `Date.UTC` takes years below 100 for years of the twentieth century.
  const cycles = year >= 0 && year < 100 ? -1 : Math.trunc(year / lastYear) * farCycles
  const millis = Date.UTC(
    year - cycles * cycle,
    month - 1,
    date,
    hours,
    minutes - offsetOf(value.slice(end)),
    seconds
  )
  const whole = millis + Math.floor(nanos / 1e6)
  const near = whole + cycles * cycleMillis
  return Math.abs(near) <= lastMillis
    ? { millis: near, cycles: 0, nanos: nanos % 1e6 }
    : { millis: whole, cycles, nanos: nanos % 1e6 }
}

const toDateTime: ReadText = (value, kind) => {
  const found = instant(value, kind)
  return found?.nanos === 0 && found.cycles === 0 ? DateTime.makeUnsafe(found.millis) : value
}

const toDate: ReadText = (value, kind) => {
  const found = toDateTime(value, kind)
  return DateTime.isDateTime(found) ? DateTime.toDateUtc(found) : value
}

const toTimestamp: ReadText = (value, kind) => {
  const found = instant(value, kind)
  if (found === undefined || found.nanos % 1000 !== 0) return value
  const millis = BigInt(found.millis) + BigInt(found.cycles) * BigInt(cycleMillis)
  return new Timestamp(millis * 1000n + BigInt(found.nanos / 1000))
}

const blobPattern = /^(?:[ -[\]-~]|\\x[0-9a-f]{2})*$/i

/** The bytes of DuckDB's text for them: printable ASCII characters, and `\xAA` for other bytes. */
const toBytes: ReadText = (value, kind) => {
  if (!(kind === "bytes" || kind === "json" || kind === "any")) return value
  if (typeof value !== "string" || !blobPattern.test(value)) return value
  const bytes = new Uint8Array(value.length)
  let size = 0
  for (let at = 0; at < value.length; at++) {
    const isEscaped = value[at] === "\\"
    bytes[size++] = isEscaped ? Number.parseInt(value.slice(at + 2, at + 4), 16) : value.charCodeAt(at)
    if (isEscaped) at += 3
  }
  return bytes.slice(0, size)
}

/** The reason why a value of a type was left unchanged, and the schema that accepts it. */
export const reason = (value: unknown, { kind, name }: RowTypes.RowType): string | undefined => {
  if (typeof value !== "string") return undefined
  if (kind === "text") {
    const isOther = isNumber(value) || instant(value, "any") !== undefined
    return isOther
      ? `it is a ${name}, so a text: cast it in the query, or use a schema that takes texts`
      : undefined
  }
  if (isNumber(value) && toNumber(value, kind) === value) {
    return "a JavaScript number cannot hold all its digits: use Schema.BigInt or Schema.BigDecimal"
  }
  if (value === "infinity" || value === "-infinity") {
    return "Date, DateTime and Rows.Timestamp hold no infinite time: take it as text"
  }
  const { cycles = 0, nanos = 0 } = instant(value, kind) ?? {}
  if (cycles !== 0 && nanos % 1000 === 0) {
    return "Date and DateTime have no years beyond 275760: use Rows.Timestamp, or take it as text"
  }
  if (nanos === 0) return undefined
  return nanos % 1000 === 0
    ? "Date and DateTime hold milliseconds: use Rows.Timestamp, or round in the query by a cast to TIMESTAMP_MS"
    : "Rows.Timestamp holds microseconds: take it as text, or cut it in the query by a cast to TIMESTAMP"
}

/** The classes that values are converted to, by an example of each. */
const classes: ReadonlyArray<readonly [example: unknown, read: ReadText]> = [
  [BigDecimal.fromBigInt(0n), toBigDecimal],
  [DateTime.makeUnsafe(0), toDateTime],
  [DateTime.toDateUtc(DateTime.makeUnsafe(0)), toDate],
  [new Timestamp(0n), toTimestamp],
  [new Uint8Array(0), toBytes]
]

const guard = (ast: SchemaAST.AST): ((value: unknown) => boolean) => Schema.is(Schema.make(ast))

/** A declaration that accepts one of the classes, and so no text, has values converted to it. */
const ofDeclaration = (ast: SchemaAST.Declaration, { kind }: RowTypes.RowType): Read | undefined => {
  const takes = guard(new SchemaAST.Declaration(ast.typeParameters, ast.run, ast.annotations))
  const taken = classes.filter(([example]) => takes(example))
  return taken.length === 1 ? ofText(taken[0]?.[1], kind) : undefined
}

const ofText = (read: ReadText | undefined, kind: RowTypes.Kind): Read | undefined =>
  read && ((value) => read(value, kind))

type Field = readonly [name: PropertyKey, read: Read]

const fieldOf = (name: PropertyKey, read: Read | undefined): ReadonlyArray<Field> =>
  read === undefined ? [] : [[name, read]]

const ofObjects = (
  { indexSignatures, propertySignatures }: SchemaAST.Objects,
  of: RowTypes.RowType
): Read | undefined => {
  const named = propertySignatures.flatMap(({ name, type }) => fieldOf(name, make(type, of.field(name))))
  const names = new Set(propertySignatures.map(({ name }) => name))
  const indexed = indexSignatures.map(({ parameter, type }) => ({ takes: guard(parameter), type }))
  const isIndexed = indexed.some(({ type }) => make(type, RowTypes.unknown) !== undefined)
  if (named.length === 0 && !isIndexed) return undefined
  const readOf = (name: string): Read | undefined => {
    const type = indexed.find(({ takes }) => takes(name))?.type
    return type && cached(type, of.field(name))
  }
  const others = (value: object): ReadonlyArray<Field> =>
    Object.keys(value)
      .filter((name) => !names.has(name))
      .flatMap((name) => fieldOf(name, readOf(name)))
  return (value) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value
    let copy = value as Record<PropertyKey, unknown>
    for (const [name, read] of isIndexed ? [...named, ...others(value)] : named) {
      if (!Object.hasOwn(copy, name)) continue
      const found = read(copy[name])
      if (found === copy[name]) continue
      if (copy === value) copy = { ...value }
      // A column may be named `__proto__`.
      if (name === "__proto__") Object.defineProperty(copy, name, { value: found })
      else copy[name] = found
    }
    return copy
  }
}

const ofArrays = ({ elements, rest }: SchemaAST.Arrays, of: RowTypes.RowType): Read | undefined => {
  const read = (ast: SchemaAST.AST) => make(ast, of.element())
  const first = elements.map(read)
  const [others, ...last] = rest.map(read)
  if (![...first, others, ...last].some((read) => read !== undefined)) return undefined
  return (value) =>
    Array.isArray(value)
      ? value.map((element: unknown, at) => {
          const fromEnd = at - (value.length - last.length)
          const read = first[at] ?? (at < first.length ? undefined : fromEnd >= 0 ? last[fromEnd] : others)
          return read === undefined ? element : read(element)
        })
      : value
}

/**
 * The first member that accepts the converted value. A single member is not checked. If a text's meaning is
 * known, that takes precedence over the text.
 */
const ofUnion = ({ types }: SchemaAST.Union, of: RowTypes.RowType): Read | undefined => {
  const members = types
    .filter((type) => !SchemaAST.isNull(type) && !SchemaAST.isUndefined(type))
    .map((type) => ({ takes: guard(type), read: make(type, of) }))
  const [only, second] = members
  if (second === undefined) {
    const read = only?.read
    return read && ((value) => (value === null ? value : read(value)))
  }
  if (members.every(({ read }) => read === undefined)) return undefined
  const isKnown = of.kind === "number" || of.kind === "time" || of.kind === "bytes"
  const first = isKnown ? members.toSorted((a, b) => Number(!a.read) - Number(!b.read)) : members
  return (value) => {
    for (const { read, takes } of first) {
      const found = read === undefined ? value : read(value)
      if (takes(found)) return found
    }
    return value
  }
}

const ofLiteral = ({ literal }: SchemaAST.Literal, { kind }: RowTypes.RowType): Read | undefined => {
  if (typeof literal === "number") return ofText(toNumber, kind)
  return typeof literal === "bigint" ? ofText(toBigInt, kind) : undefined
}

/** `undefined`: values stay unchanged. `ast` is the encoded side of a schema: one without transformations. */
const make = (ast: SchemaAST.AST, of: RowTypes.RowType): Read | undefined => {
  switch (ast._tag) {
    case "Number":
      return ofText(toNumber, of.kind)
    case "BigInt":
      return ofText(toBigInt, of.kind)
    case "Literal":
      return ofLiteral(ast, of)
    case "Declaration":
      return ofDeclaration(ast, of)
    case "Objects":
      return ofObjects(ast, of)
    case "Arrays":
      return ofArrays(ast, of)
    case "Union":
      return ofUnion(ast, of)
    case "Suspend":
      return ofSuspend(ast, of)
    default:
      return undefined
  }
}

/** By the schema and the name of the type. */
const made = new WeakMap<SchemaAST.AST, Map<string, Read>>()

/** The number of types that are cached for one schema. */
const maxTypes = 32

const same: Read = (value) => value

const cached = (ast: SchemaAST.AST, type: RowTypes.RowType): Read => {
  const known = made.get(ast) ?? new Map<string, Read>()
  made.set(ast, known)
  const read = known.get(type.name) ?? make(ast, type) ?? same
  if (known.size >= maxTypes) known.clear()
  known.set(type.name, read)
  return read
}

/** For the values that a schema decodes from, in rows of a type. */
export const of = (schema: SchemaAST.AST, row: RowTypes.RowType): Read =>
  cached(SchemaAST.toEncoded(schema), row)

/** A recursive schema is resolved when a value needs it. */
const ofSuspend =
  ({ thunk }: SchemaAST.Suspend, type: RowTypes.RowType): Read =>
  (value) =>
    cached(thunk(), type)(value)
