/**
 * Names in a text of JSON, of which a parser takes the last where two members have one.
 */
import * as JsonBounds from "./JsonBounds.ts"

const token = /"(?:[^"\\]|\\.)*"|[{}[\]:]/gs

/** A name that two members of one object have, in a text that is JSON. */
export const repeated = (json: string): string | undefined => {
  /** The names so far of each object that is open; lists have none. */
  const open: Array<Set<string>> = []
  let text: string | undefined
  for (const [found] of json.matchAll(token)) {
    if (found.startsWith('"')) text = found
    else if (found === "{" || found === "[") open.push(new Set())
    else if (found === "}" || found === "]") open.pop()
    else if (text !== undefined) {
      const name: string = JSON.parse(text)
      const names = open.at(-1)
      if (names?.has(name)) return name
      names?.add(name)
    }
  }
  return undefined
}

/** The names of members in a value, at all levels. `isScalar` tells objects that stand for a number. */
const countOf = (value: unknown, isScalar: (value: object) => boolean): number => {
  if (typeof value !== "object" || value === null || isScalar(value)) return 0
  const inner: ReadonlyArray<unknown> = Array.isArray(value) ? value : Object.values(value)
  let count = Array.isArray(value) ? 0 : inner.length
  for (const one of inner) count += countOf(one, isScalar)
  return count
}

/** Whether a name occurs twice in an object of JSON, of which `value` was made: names are counted, not compared. */
export const areRepeated = (
  json: Uint8Array,
  value: unknown,
  isScalar: (value: object) => boolean
): boolean => JsonBounds.members(json) !== countOf(value, isScalar)
