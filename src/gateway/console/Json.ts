/**
 * JSON read without a change of its values: nested ones stay text, because JavaScript's numbers would lose
 * digits, and its objects the order of members and duplicates. Pure.
 */
import type { Json, Row } from "./Messages.ts"

const bad = (text: string, at: number): SyntaxError =>
  new SyntaxError(`The gateway sent bad JSON: ${text.slice(at, at + 40)}`)

const space = /[ \t\r\n]*/y
const literal = /[-+.\w]+/y
const nesting = /["{}[\]]/g

const afterSpace = (text: string, from: number): number => {
  // Mostly there is none.
  if (text.charCodeAt(from) > 32) return from
  space.lastIndex = from
  space.exec(text)
  return space.lastIndex
}

const isEscaped = (text: string, at: number): boolean => {
  let from = at
  while (text[from - 1] === "\\") from--
  return (at - from) % 2 === 1
}

const endOfString = (text: string, from: number): number => {
  for (let at = text.indexOf('"', from + 1); at >= 0; at = text.indexOf('"', at + 1))
    if (!isEscaped(text, at)) return at + 1
  throw bad(text, from)
}

const endOfNested = (text: string, from: number): number => {
  let depth = 0
  nesting.lastIndex = from
  for (let found = nesting.exec(text); found !== null; found = nesting.exec(text)) {
    if (found[0] === '"') nesting.lastIndex = endOfString(text, found.index)
    else depth += found[0] === "{" || found[0] === "[" ? 1 : -1
    if (depth === 0) return nesting.lastIndex
  }
  throw bad(text, from)
}

/** The end of the value that begins at an offset. */
const endOf = (text: string, from: number): number => {
  const first = text[from]
  if (first === '"') return endOfString(text, from)
  if (first === "{" || first === "[") return endOfNested(text, from)
  literal.lastIndex = from
  if (!literal.test(text)) throw bad(text, from)
  return literal.lastIndex
}

/** A string, of which `text` has the quotes. */
const string = (text: string): string => (text.includes("\\") ? JSON.parse(text) : text.slice(1, -1))

/** A value; in a column of JSON, all but NULL is JSON. */
const value = (text: string, isJson: boolean): unknown => {
  const first = text[0]
  if (first === "{" || first === "[" || (isJson && text !== "null")) return { json: text } satisfies Json
  return first === '"' ? string(text) : JSON.parse(text)
}

/** Calls `each` with the bounds of each element; returns the end of the list. */
const elements = (text: string, from: number, end: string, each: (at: number) => number): number => {
  let at = afterSpace(text, from)
  if ((text[at] ?? "") === end) return at
  for (;;) {
    at = afterSpace(text, each(at))
    if ((text[at] ?? "") === end) return at
    if (text[at] !== ",") throw bad(text, at)
    at = afterSpace(text, at + 1)
  }
}

/** Calls `each` with each member of the object that begins at an offset; returns its end. */
const members = (
  text: string,
  from: number,
  each: (name: string, from: number, to: number) => void
): number => {
  if (text[from] !== "{") throw bad(text, from)
  return (
    elements(text, from + 1, "}", (at) => {
      if (text[at] !== '"') throw bad(text, at)
      const nameEnd = endOfString(text, at)
      const colon = afterSpace(text, nameEnd)
      if (text[colon] !== ":") throw bad(text, colon)
      const start = afterSpace(text, colon + 1)
      const end = endOf(text, start)
      each(string(text.slice(at, nameEnd)), start, end)
      return end
    }) + 1
  )
}

/** The text of a member of an object. */
export const member = (text: string, wanted: string): string | undefined => {
  let found: string | undefined
  members(text, 0, (name, from, to) => {
    if (name === wanted) found = text.slice(from, to)
  })
  return found
}

/** The row that begins at an offset, and its end. */
const row = (text: string, from: number, isJson: (name: string) => boolean): [Row, number] => {
  const values: Array<[string, unknown]> = []
  const end = members(text, from, (name, start, to) => {
    values.push([name, value(text.slice(start, to), isJson(name))])
  })
  return [Object.fromEntries(values), end]
}

/** The rows of a list without its brackets. */
export const rows = (text: string, isJson: (name: string) => boolean): ReadonlyArray<Row> => {
  const found: Array<Row> = []
  elements(text, 0, "", (at) => {
    const [made, end] = row(text, at, isJson)
    found.push(made)
    return end
  })
  return found
}

/** JSON on lines of their own, up to about this length. */
export const indented = (json: string, maxLength: number): string => {
  const parts: Array<string> = []
  let length = 0
  let depth = 0
  const add = (text: string): void => {
    parts.push(text)
    length += text.length
  }
  const line = (): void => add(`\n${"  ".repeat(depth)}`)
  for (let at = afterSpace(json, 0); at < json.length && length <= maxLength; at = afterSpace(json, at)) {
    const first = json[at] as string
    if (first === "{" || first === "[") {
      const next = afterSpace(json, at + 1)
      const isEmpty = json[next] === "}" || json[next] === "]"
      add(isEmpty ? first + json[next] : first)
      if (!isEmpty) {
        depth++
        line()
      }
      at = isEmpty ? next + 1 : next
    } else if (first === "}" || first === "]") {
      depth--
      line()
      add(first)
      at++
    } else if (first === ",") {
      add(first)
      line()
      at++
    } else if (first === ":") {
      add(": ")
      at++
    } else {
      const end = endOf(json, at)
      add(json.slice(at, end))
      at = end
    }
  }
  return parts.join("")
}
