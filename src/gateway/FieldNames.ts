/**
 * The names of a request's fields. Unknown fields are ignored, which does not help a client that has misspelt
 * `timeoutMs`: near misses of known fields are distinguished from future names. Pure.
 */

const known: ReadonlyArray<string> = [
  "version",
  "query",
  "parameters",
  "parameterTypes",
  "format",
  "numbers",
  "timeoutMs",
  "queryId",
  "traceparent",
  "metadata",
  "readOnly",
  "receipt",
  "progress",
  "progressOf",
  "target",
  "conversation",
  "wait"
]

/** Shorter names are prefixes of too many others. */
const minPrefix = 5

/**
 * The known field that a name probably means: it differs by case, by `_` or `-`, by one letter, or is a
 * prefix.
 */
export const meant = (name: string): string | undefined => {
  if (known.includes(name)) return undefined
  const letters = plain(name)
  return known.find((field) => {
    const other = plain(field)
    return isNear(letters, other) || (letters.length >= minPrefix && other.startsWith(letters))
  })
}

const plain = (name: string): string => name.slice(0, 64).replace(/[_-]/g, "").toLowerCase()

/** Whether the two differ by one letter inserted, removed or replaced, or by two swapped letters. */
const isNear = (a: string, b: string): boolean => {
  const most = Math.max(a.length, b.length)
  let start = 0
  while (start < most && a[start] === b[start]) start++
  let end = 0
  while (end < most - start && a.at(-1 - end) === b.at(-1 - end)) end++
  const [left, right] = [a, b].map((text) => text.slice(start, Math.max(start, text.length - end)))
  const isSwapped = left?.length === 2 && right === `${left[1]}${left[0]}`
  return most - start - end <= 1 || isSwapped
}
