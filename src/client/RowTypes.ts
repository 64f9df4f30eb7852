/**
 * The meaning of a row's texts by the types of its columns, which the accept names as in SQL.
 *
 * In JSON wide numbers, times and bytes are texts. Whether `"007"` is a number depends on its type.
 */
import type { Column } from "../engine/QueryApi.ts"

/**
 * The meaning of a text: digits of a number, a time, bytes, or a text. In JSON it is one of these, or a
 * number that a JavaScript number cannot represent. For unknown types it may be any.
 */
export type Kind = "number" | "time" | "bytes" | "text" | "json" | "any"

export interface RowType {
  /** The name of the type. */
  readonly name: string
  readonly kind: Kind
  /** The type of a member of an object. */
  readonly field: (name: PropertyKey) => RowType
  /** The type of the elements of a list. */
  readonly element: () => RowType
}

const kinds: ReadonlyArray<readonly [kind: Kind, names: RegExp]> = [
  ["number", /^(U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL|BIGNUM)$/],
  ["time", /^(DATE|TIMESTAMP(_S|_MS|_NS)?|TIMESTAMP WITH TIME ZONE|TIMESTAMPTZ)$/],
  ["bytes", /^BLOB$/],
  ["text", /^(VARCHAR|BIT|UUID|INTERVAL|TIME|TIME_NS|TIME WITH TIME ZONE|ENUM|VARIANT|GEOMETRY)$/],
  ["json", /^JSON$/]
]

const leaf = (name: string, kind: Kind): RowType => {
  const type: RowType = { name, kind, field: () => type, element: () => type }
  return type
}

/** The unknown type. */
export const unknown: RowType = leaf("", "any")

/** The type of a list is the type of its elements and a length in brackets. */
const listPattern = /^(.*)\[\d*\]$/s

const nestedPattern = /^(STRUCT|UNION|MAP)\((.*)\)$/s

/** The parts between commas outside of quotes and parentheses. */
const partsOf = (text: string): ReadonlyArray<string> => {
  const parts: Array<string> = []
  let start = 0
  let depth = 0
  let quote: string | undefined
  for (let at = 0; at < text.length; at++) {
    const sign = text[at] as string
    if (quote !== undefined) {
      if (sign === quote) quote = undefined
    } else if (sign === '"' || sign === "'") quote = sign
    else if (sign === "(") depth++
    else if (sign === ")") depth--
    else if (sign === "," && depth === 0) {
      parts.push(text.slice(start, at))
      start = at + 1
    }
  }
  return [...parts, text.slice(start)]
}

/** A name, quoted or not, and its type. */
const memberPattern = /^\s*(?:"((?:[^"]|"")*)"|([^\s"]+))\s+(.+)$/s

const membersOf = (text: string): ReadonlyMap<PropertyKey, string> =>
  new Map(
    partsOf(text).flatMap((part): ReadonlyArray<readonly [string, string]> => {
      const [, quoted, plain, type] = memberPattern.exec(part) ?? []
      return type === undefined ? [] : [[quoted?.replaceAll('""', '"') ?? plain ?? "", type]]
    })
  )

const once = <A>(make: () => A): (() => A) => {
  let made: { readonly value: A } | undefined
  return () => {
    made ??= { value: make() }
    return made.value
  }
}

/** Parses the name of a type. Inner types are parsed on demand: names may be long and deeply nested. */
export const parse = (given: string): RowType => {
  const name = given.trim()
  const [, listed] = listPattern.exec(name) ?? []
  if (listed !== undefined) return { ...leaf(name, "any"), element: once(() => parse(listed)) }
  const [, nested, inner = ""] = nestedPattern.exec(name) ?? []
  // Called for each key of each row.
  if (nested === "MAP") return { ...leaf(name, "any"), field: once(() => parse(partsOf(inner)[1] ?? "")) }
  if (nested !== undefined) return objectOf(name, membersOf(inner))
  const base = name.replace(/\(.*$/s, "")
  return leaf(name, kinds.find(([, names]) => names.test(base))?.[0] ?? "any")
}

const objectOf = (name: string, members: ReadonlyMap<PropertyKey, string>): RowType => ({
  ...leaf(name, "any"),
  field: (member) => {
    const type = members.get(member)
    return type === undefined ? unknown : parse(type)
  }
})

/** The type of a row. */
export const ofColumns = (columns: ReadonlyArray<Column> | undefined): RowType =>
  columns === undefined
    ? unknown
    : objectOf(JSON.stringify(columns), new Map(columns.map(({ name, type }) => [name, type])))

/** The type of the value at a path in a row. */
export const at = (row: RowType, path: ReadonlyArray<string | number>): RowType =>
  path.reduce((type, key) => (typeof key === "number" ? type.element() : type.field(key)), row)
