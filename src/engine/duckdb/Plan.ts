/**
 * The result of an `EXPLAIN`, without the paths of the files that it read.
 */
import * as Effect from "effect/Effect"
import type { ResultLimits } from "../Limits.ts"
import type { QueryError } from "../QueryApi.ts"
import * as Explain from "./Explain.ts"
import * as Failure from "./Failure.ts"
import * as Parameters from "./Parameters.ts"
import type { Rows } from "./ResultStream.ts"
import * as Sql from "./Sql.ts"
import * as Statement from "./Statement.ts"

/** Runs an `EXPLAIN` to its end. Its few rows are returned as literals, to be read in the same session. */
export const run = (
  { guard: { hidden }, limits, session }: Statement.Context & { readonly limits: ResultLimits },
  statement: Statement.Whole
): Effect.Effect<Rows, QueryError> =>
  Effect.catch(
    session.call(async (connection) => {
      const result = await Parameters.run(connection, statement)
      const texts = (await result.getRows()).map((row) =>
        row.map((value) => Sql.literal(Failure.hide(hidden, hideFiles(String(value)))))
      )
      const sql = `VALUES ${texts.map((row) => `(${row.join(", ")})`).join(", ")}`
      return { session, source: { sql, columns: Explain.columns }, bound: [], limits }
    }),
    Statement.failed(statement)
  )

const label = "Filename(s):"

/**
 * Empties the cells below `Filename(s):` in a plan drawn with boxes. They hold pieces of paths, as wide as a
 * box and cut anywhere.
 */
export const hideFiles = (plan: string): string => {
  if (!plan.includes(label)) return plan
  const lines = plan.split("\n")
  lines.forEach((line, row) => {
    for (let at = line.indexOf(label); at !== -1; at = line.indexOf(label, at + 1)) {
      const left = line.lastIndexOf("│", at)
      const right = line.indexOf("│", at)
      if (left !== -1 && right !== -1) emptyBelow(lines, row, left + 1, right)
    }
  })
  return lines.join("\n")
}

/** Empties a box's cell from the line after `row` on, up to a line that is empty in it. */
const emptyBelow = (lines: Array<string>, row: number, left: number, right: number): void => {
  for (let index = row + 1; index < lines.length; index++) {
    const line = lines[index] as string
    // Wide characters shift the text after them, so the cell cannot be located.
    if (line.charAt(left - 1) !== "│" || line.charAt(right) !== "│") lines[index] = ""
    else if (line.slice(left, right).trim() === "") return
    else lines[index] = line.slice(0, left) + " ".repeat(right - left) + line.slice(right)
  }
}
