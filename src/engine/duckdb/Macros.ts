/**
 * The macros of the served database, and the size of their calls when DuckDB binds them.
 */
import type { DuckDBConnection } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import * as Expansion from "./Expansion.ts"
import type * as Failure from "./Failure.ts"
import type { Parser } from "./Parser.ts"
import type { Session } from "./Session.ts"
import { isNode, nameOf } from "./ShortTree.ts"

/** The expansion of a call. */
export interface Macro {
  /** How often an argument is bound, at most. */
  readonly times: number
  /** Whether a query that calls the macro may be an aggregate, or have a subquery. */
  readonly mayAggregate: boolean
}

/** By lower-case name. */
export type Macros = ReadonlyMap<string, Macro>

/** One body of a macro; there is one for each number of parameters. */
interface Definition {
  readonly name: string
  readonly parameters: ReadonlyArray<string>
  /** The body as a query. */
  readonly sql: string
}

/** DuckDB prints the bodies of all macros, which takes it some 100 ms. */
const definitionsSql = `
  SELECT system.main.lower(function_name), parameters,
    CASE function_type WHEN 'table_macro' THEN macro_definition ELSE 'SELECT ' || macro_definition END
  FROM system.main.duckdb_functions() WHERE NOT internal AND macro_definition IS NOT NULL`

const definitionsOf = async (connection: DuckDBConnection): Promise<ReadonlyArray<Definition>> =>
  (await connection.runAndReadAll(definitionsSql)).getRowsJS().map(([name, parameters, sql]) => ({
    name: String(name),
    parameters: (parameters as ReadonlyArray<unknown>).map(nameOf),
    sql: String(sql)
  }))

/** Counts the macros among the functions that a query calls, and the macros that those call. */
export type Count = (
  session: Session,
  functions: ReadonlyArray<string>
) => Effect.Effect<Macros, Failure.Failure>

interface Context {
  readonly parser: Parser
  /** The names of DuckDB's own functions. */
  readonly builtIn: ReadonlyMap<string, unknown>
}

/** Macros of an immutable database are counted once. */
export const make = (context: Context, isFixed: boolean): Count => {
  let definitions: ReadonlyArray<Definition> | undefined
  const counted = new Map<string, Macro>()
  return Effect.fnUntraced(function* (session, functions) {
    const all = definitions ?? (yield* session.call(definitionsOf))
    if (isFixed) definitions = all
    const known = isFixed ? counted : new Map<string, Macro>()
    for (const name of functions) yield* count(context, all, known, name)
    return known
  })
}

/** The macro does not exist; DuckDB reports that. */
const unknown: Macro = { times: 1, mayAggregate: false }

/** Recursive macros count as unknown ones; DuckDB does not bind them. */
const count = (
  { builtIn, parser }: Context,
  all: ReadonlyArray<Definition>,
  known: Map<string, Macro>,
  name: string,
  outer: ReadonlyArray<string> = []
): Effect.Effect<void, Failure.Failure> =>
  Effect.gen(function* () {
    if (known.has(name) || outer.includes(name)) return
    const bodies = all.filter((each) => each.name === name)
    if (bodies.length === 0 && !builtIn.has(name)) known.set(name, unknown)
    if (bodies.length === 0) return
    const macros: Array<Macro> = []
    for (const { parameters, sql } of bodies) {
      const tree = yield* parser.shortTree(sql)
      for (const inner of functionsOf(tree))
        yield* count({ builtIn, parser }, all, known, inner, [...outer, name])
      macros.push(Expansion.macro(tree, parameters, known))
    }
    known.set(name, {
      times: Math.max(...macros.map(({ times }) => times)),
      mayAggregate: macros.some(({ mayAggregate }) => mayAggregate)
    })
  })

const functionsOf = (tree: unknown, found = new Set<string>()): ReadonlySet<string> => {
  if (!isNode(tree)) return found
  if (tree.f !== undefined) found.add(nameOf(tree.f))
  for (const child of Object.values(tree)) functionsOf(child, found)
  return found
}
