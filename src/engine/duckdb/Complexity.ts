/**
 * Limits on a query's text beyond its length. For these forms DuckDB's parser takes time quadratic in the
 * length, and cannot be interrupted: 256 KiB of them would take hours (comments) or minutes (AND).
 */
import type { RequestLimits } from "../Limits.ts"
import * as Repetition from "./Repetition.ts"

const operators = /[~!@#^&|`?+*/%<>=-]+/g
const conjunction = /\b(?:and|or)\b/gi

/** The limit that a text exceeds, in words that name it. Text in literals and comments counts too. */
export const excess = (
  sql: string,
  { maxConjunctions, maxOperatorRun }: Pick<RequestLimits, "maxOperatorRun" | "maxConjunctions">
): string | undefined => {
  for (const [run] of sql.matchAll(operators)) {
    if (run.length > maxOperatorRun) {
      return `The query has more than ${maxOperatorRun} characters of operators or comment marks in a row (maxOperatorRun); put blanks between them`
    }
  }
  conjunction.lastIndex = 0
  for (let count = 0; conjunction.test(sql); ) {
    if (++count > maxConjunctions) {
      return `The query has more than ${maxConjunctions} times AND or OR (maxConjunctions); use IN, or join a list of values`
    }
  }
  return Repetition.excess(sql)
}
