/**
 * The size of a query when DuckDB binds it. Stars of stars, structs of structs, and names for expressions and
 * queries grow exponentially with the length of the text, and binding cannot be interrupted. Pure.
 */
import { Excess } from "./Budget.ts"
import { grouping, Reader } from "./ExpansionReader.ts"
import * as Functions from "./Functions.ts"
import type { Macro, Macros } from "./Macros.ts"
import { isNode } from "./ShortTree.ts"

const none: Macros = new Map()

/**
 * The reason why a query becomes too large, by its short tree. Functions that are neither DuckDB's own nor
 * among the macros count as macros that name an argument often and aggregate.
 */
export const excess = (tree: unknown, macros = none): string | undefined => {
  try {
    const reader = new Reader(macros)
    reader.expression(tree)
    reader.budget.plan(reader.work.total)
    return undefined
  } catch (cause) {
    if (cause instanceof Excess) return cause.message
    // The stack suffices for more than DuckDB's parser accepts in most places: a thousand expressions,
    // or 330 subqueries.
    if (cause instanceof RangeError) return "The query is nested too deeply; split it, or nest it less deeply"
    throw cause
  }
}

/** A macro that is too large to be counted: no query may pass it an argument. */
const tooLarge: Macro = { times: Number.MAX_SAFE_INTEGER, mayAggregate: true }

/**
 * The expansion of a macro's calls, by the short tree of its body. `macros` are the ones that
 * it calls itself.
 */
export const macro = (tree: unknown, parameters: ReadonlyArray<string>, macros: Macros): Macro => {
  // The body is too long, or DuckDB prints it in a form that it cannot read.
  if (tree === undefined) return tooLarge
  const partsWith = (values: ReadonlyMap<string, number>): number => {
    const reader = new Reader(macros, values)
    reader.expression(tree)
    return reader.parts
  }
  try {
    const plain = new Map(parameters.map((name) => [name, 1] as const))
    const least = partsWith(plain)
    const uses = parameters.map((name) => partsWith(new Map([...plain, [name, 2]])) - least)
    return { times: Math.max(1, ...uses), mayAggregate: aggregates(tree, macros) }
  } catch (cause) {
    if (cause instanceof Excess || cause instanceof RangeError) return tooLarge
    throw cause
  }
}

const aggregates = (value: unknown, macros: Macros): boolean => {
  if (!isNode(value)) return false
  const isOne =
    value.class === "SUBQUERY" ||
    value.type === "PIVOT" ||
    value.type === "SHOW_REF" ||
    ["partitions", ...grouping].some((key) => value[key] !== undefined) ||
    (value.f !== undefined && (macros.get(value.f)?.mayAggregate ?? Functions.mayAggregate(value.f)))
  return isOne || Object.values(value).some((child) => aggregates(child, macros))
}
