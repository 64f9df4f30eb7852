/**
 * Repeated member names in JSON text, of which a parser keeps only the last.
 */
import * as JsonBounds from "./JsonBounds.ts"

const token = /"(?:[^"\\]|\\.)*"|[{}[\]:]/gs

/** A name that is repeated in one object of a valid JSON text. */
export const repeated = (json: string): string | undefined => {
  /** The names so far of each open object; lists have none. */
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

/**
 * The number of member names in a value, at all levels. `isScalar` recognises objects that
 * stand for a number.
 */
const countOf = (value: unknown, isScalar: (value: object) => boolean): number => {
  if (typeof value !== "object" || value === null || isScalar(value)) return 0
  const inner: ReadonlyArray<unknown> = Array.isArray(value) ? value : Object.values(value)
  let count = Array.isArray(value) ? 0 : inner.length
  for (const one of inner) count += countOf(one, isScalar)
  return count
}

/**
 * Whether a name is repeated in an object of the JSON that `value` was parsed from. Names are
 * counted, not compared.
 */
export const areRepeated = (
  json: Uint8Array,
  value: unknown,
  isScalar: (value: object) => boolean
): boolean => JsonBounds.members(json) !== countOf(value, isScalar)
