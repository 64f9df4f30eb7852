/**
 * The names of a request's fields. A field that nobody knows is ignored, which is no help to a client that has misspelt
 * `timeoutMs`: names that are nearly those of known fields are told apart from names to come. Pure.
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

/** A shorter name is the beginning of too many. */
const minPrefix = 5

/** The known field that a name is taken for: by another case, by `_` or `-`, by one letter, or by its beginning. */
export const meant = (name: string): string | undefined => {
  if (known.includes(name)) return undefined
  const letters = plain(name)
  return known.find((field) => {
    const other = plain(field)
    return isNear(letters, other) || (letters.length >= minPrefix && other.startsWith(letters))
  })
}

const plain = (name: string): string => name.slice(0, 64).replace(/[_-]/g, "").toLowerCase()

/** Whether one letter more, less or another, or two that have changed places, make one of the other. */
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
