/**
 * Detects texts that make values of the type VARIANT.
 *
 * DuckDB ends the process on some uses of them: functions that sort lists read beyond their memory, and a
 * cast of deeply nested JSON overflows the stack. So clients may read columns of this type, but neither sort
 * them as lists nor make values of it.
 */

/** The lower-case name in the parser's tree. */
export const typeName = "variant"

/** Whether a JSON plan of DuckDB's has the type. In the text of a literal the quotes have backslashes. */
export const isTypeIn = (plan: string): boolean => plan.includes('"id":"VARIANT"')

/**
 * Functions that end the process as soon as they are bound, if a value of this type is used as their list.
 * Lists of such values are safe.
 */
const fatal: ReadonlySet<string> = new Set([
  "array_grade_up",
  "array_resize",
  "array_reverse_sort",
  "array_sort",
  "grade_up",
  "list_grade_up",
  "list_resize",
  "list_reverse_sort",
  "list_sort"
])

/** The first of these names that is a fatal function. */
export const fatalIn = (functions: Iterable<string>): string | undefined => {
  for (const name of functions) if (fatal.has(name)) return name
  return undefined
}

/** Functions that make values of a type named by a text in their second argument. */
export const structured: ReadonlySet<string> = new Set([
  "from_json",
  "from_json_strict",
  "json_transform",
  "json_transform_strict"
])

/** Whether a structure names the type, even with JSON's escapes. */
export const isNamedIn = (structure: string): boolean => {
  try {
    return /variant/i.test(JSON.stringify(JSON.parse(structure)))
  } catch {
    // DuckDB reports the problem, unless it is more lenient.
    return /variant|\\u/i.test(structure)
  }
}

/**
 * Whether a statement without a tree may cast to the type. There are only false positives: a column of this
 * name after a keyword counts too, in a statement that casts to anything.
 */
export const mayBeCast = (sql: string): boolean =>
  /::|\bcast\b/i.test(sql) && /(?:::|[\w"*/])\s*"?variant\b/i.test(sql)
