/**
 * Texts that UTF-8 cannot hold: those with half a surrogate pair, which an encoder would silently replace.
 */

/** Whether all texts in a value of JSON are well-formed, including member names. */
const isWellFormed = (value: unknown): boolean => {
  if (typeof value === "string") return value.isWellFormed()
  if (typeof value !== "object" || value === null) return true
  return Array.isArray(value)
    ? value.every(isWellFormed)
    : Object.entries(value).every(([name, one]) => name.isWellFormed() && isWellFormed(one))
}

/** The error for an ill-formed text. */
export const problem = "the text has half a surrogate pair"

/** The first field, or parameter, with an ill-formed text; `undefined` if there is none. */
export const firstIll = (fields: object): string | undefined => {
  for (const [field, value] of Object.entries(fields)) {
    if (isWellFormed(value)) continue
    return field === "parameters" ? `parameters.${firstParameter(value)}` : field
  }
  return undefined
}

/** Parameters are counted from 1, as in SQL. */
const firstParameter = (parameters: object): string | number =>
  Array.isArray(parameters)
    ? parameters.findIndex((value) => !isWellFormed(value)) + 1
    : (firstIll(parameters) ?? "")
