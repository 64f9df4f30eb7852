/**
 * Where a text makes values of the type VARIANT.
 *
 * DuckDB ends the process on some uses of them: functions that sort lists read beyond their memory, and a cast of
 * deeply nested JSON has no end of the stack. So clients may read columns of this type and not sort them as lists, and
 * make no values of it.
 */

/** As the parser's tree names it, in small letters. */
export const typeName = "variant"

/** Whether a plan of DuckDB's, as JSON, has the type. In the text of a literal the quotes have backslashes. */
export const isTypeIn = (plan: string): boolean => plan.includes('"id":"VARIANT"')

/**
 * Functions that end the process, as soon as they are bound, if a value of this type stands for their list. Lists of
 * such values do them no harm.
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

/** The first of these names that is one of those functions. */
export const fatalIn = (functions: Iterable<string>): string | undefined => {
  for (const name of functions) if (fatal.has(name)) return name
  return undefined
}

/** Functions that make values of a type that a text in their second argument names. */
export const structured: ReadonlySet<string> = new Set([
  "from_json",
  "from_json_strict",
  "json_transform",
  "json_transform_strict"
])

/** Whether a structure names the type, be it with JSON's escapes. */
export const isNamedIn = (structure: string): boolean => {
  try {
    return /variant/i.test(JSON.stringify(JSON.parse(structure)))
  } catch {
    // DuckDB says what is wrong with it, unless it is more lenient.
    return /variant|\\u/i.test(structure)
  }
}

/**
 * Whether a statement that has no tree may cast to the type. Errs on one side: a column of this name after a keyword
 * counts too, in a statement that casts to anything.
 */
export const mayBeCast = (sql: string): boolean =>
  /::|\bcast\b/i.test(sql) && /(?:::|[\w"*/])\s*"?variant\b/i.test(sql)
