/**
 * What of a query's parameters JSON would change without a word: a NaN becomes `null`, a `Map` an object without
 * members.
 */

/** Levels of lists and objects; a value that holds itself has no end of them. */
const maxLevels = 1000

/** The first value that has no form in JSON, by its path; `undefined` if there is none. */
export const problem = (value: unknown, path = "parameters", level = 0): string | undefined => {
  switch (typeof value) {
    case "boolean":
    case "string":
      return undefined
    case "number":
      return Number.isFinite(value) ? undefined : `${path}: ${value} has no SQL value`
    case "object":
      return value === null ? undefined : ofObject(value, path, level)
    default:
      return `${path}: ${value === undefined ? "undefined" : `a ${typeof value}`} has no form in JSON`
  }
}

const ofObject = (value: object, path: string, level: number): string | undefined => {
  if (level > maxLevels) return "parameters: a value is nested too deep, or holds itself"
  if (!Array.isArray(value) && !isPlain(value)) {
    return `${path}: a ${value.constructor?.name || "value with a class"} has no form in JSON`
  }
  // Not `entries` of a list, which leaves out what is missing. Parameters are counted from 1, as in SQL.
  const members = Array.isArray(value)
    ? Array.from(value, (one, index) => [level === 0 ? `.${index + 1}` : `[${index}]`, one] as const)
    : Object.entries(value).map(([name, one]) => [`.${name}`, one] as const)
  for (const [name, one] of members) {
    const found = problem(one, path + name, level + 1)
    if (found !== undefined) return found
  }
  return undefined
}

/** What `JSON.rawJSON` gives is plain too: it is how an integer of any size is sent. */
const isPlain = (value: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype
}
