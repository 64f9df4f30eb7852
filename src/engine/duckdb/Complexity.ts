/**
 * Bounds on a query's text beyond its length: the forms for which DuckDB's parser takes a time that is quadratic in
 * the length, and cannot be interrupted meanwhile. 256 KiB of them would take hours (comments) or minutes (AND).
 */

/** As many characters of operators may follow on each other. DuckDB reads on to their end at each comment among them. */
const maxOperatorRun = 1024

/** As many times may AND and OR stand in a query; the parser looks at all before each one. */
const maxConjunctions = 8192

const operatorRun = new RegExp(`[~!@#^&|\`?+*/%<>=-]{${maxOperatorRun + 1}}`)
const conjunction = /\b(?:and|or)\b/gi

/** The bound that a text exceeds, in words. What stands in literals and comments counts too. */
export const excess = (sql: string): string | undefined => {
  if (operatorRun.test(sql)) {
    return `The query has more than ${maxOperatorRun} characters of operators or comment marks in a row; put blanks between them`
  }
  conjunction.lastIndex = 0
  for (let count = 0; conjunction.test(sql); ) {
    if (++count > maxConjunctions) {
      return `The query has more than ${maxConjunctions} times AND or OR; use IN, or join a list of values`
    }
  }
  return undefined
}
