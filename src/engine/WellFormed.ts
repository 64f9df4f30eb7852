/**
 * Texts that have no form in UTF-8: those with half a surrogate pair, which an encoder would replace without a word.
 */

/** Whether all texts in a value of JSON are well-formed, names of members included. */
const isWellFormed = (value: unknown): boolean => {
  if (typeof value === "string") return value.isWellFormed()
  if (typeof value !== "object" || value === null) return true
  return Array.isArray(value)
    ? value.every(isWellFormed)
    : Object.entries(value).every(([name, one]) => name.isWellFormed() && isWellFormed(one))
}

/** What is wrong with a text. */
export const problem = "the text has half a surrogate pair"

/** The first field, or parameter, with a text that is not well-formed; `undefined` if there is none. */
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
