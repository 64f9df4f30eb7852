/**
 * How large a query becomes when DuckDB binds it, at least: stars of stars, and names of expressions within
 * expressions, grow exponentially with the length of the text, and binding cannot be interrupted. Pure.
 *
 * What is not known counts as little as it can be: a table has one column.
 */

/** The columns of a part of a query. DuckDB binds 16,000 in 0.3 s, and takes the square of that for more. */
const mostColumns = 10_000

/** The parts of an expression in which names stand for others. DuckDB binds 65,000 in 3 s. */
const mostParts = 50_000

/** Parts of a tree that are nested deeper are not looked at. */
const deepest = 400

/** The columns of what a name stands for. */
type Names = ReadonlyMap<string, number>

type Node = Readonly<Record<string, unknown>>

class Excess {
  readonly message: string

  constructor(message: string) {
    this.message = message
  }
}

/** Why a query becomes too large, by the parser's tree of it. */
export const excess = (tree: unknown): string | undefined => {
  try {
    visit(tree, new Map(), 0)
    return undefined
  } catch (cause) {
    if (cause instanceof Excess) return cause.message
    throw cause
  }
}

const isNode = (value: unknown): value is Node => typeof value === "object" && value !== null

const listOf = (value: unknown): ReadonlyArray<unknown> => (Array.isArray(value) ? value : [])

const nameOf = (value: unknown): string => (typeof value === "string" ? value.toLowerCase() : "")

/** Joins that have only the columns of their left side. */
const ofLeft: ReadonlyArray<unknown> = ["SEMI", "ANTI"]

/** Looks at all queries within. */
const visit = (value: unknown, names: Names, depth: number): void => {
  if (!isNode(value) || depth > deepest) return
  if (isQuery(value)) columnsOf(value, names, depth)
  else for (const child of Object.values(value)) visit(child, names, depth + 1)
}

const isQuery = ({ type }: Node): boolean => typeof type === "string" && type.endsWith("_NODE")

/** The columns of a query, at least. */
const columnsOf = (value: unknown, outer: Names, depth: number): number => {
  if (!isNode(value) || depth > deepest) return 1
  const names = withTables(value["cte_map"], outer, depth)
  const { cte_map, from_table, select_list, ...rest } = value
  if (value["type"] !== "SELECT_NODE") {
    const left = value["left"] ?? listOf(value["children"])[0]
    const columns = columnsOf(left, names, depth + 1)
    const { left: _, ...others } = rest
    visit(others, new Map(names).set(nameOf(value["cte_name"]), columns), depth + 1)
    return columns
  }
  const sources = new Map<string, number>()
  const all = columnsFrom(from_table, names, sources, depth + 1)
  visit(select_list, names, depth + 1)
  visit(rest, names, depth + 1)
  const list = listOf(select_list)
  checkParts(list)
  return bounded(list.reduce((sum: number, item) => sum + columnsOfItem(item, all, sources), 0))
}

const bounded = (columns: number): number => {
  if (columns <= mostColumns) return columns
  throw new Excess(
    `A part of the query has more than ${mostColumns} columns, which are as many as it may have`
  )
}

const withTables = (map: unknown, outer: Names, depth: number): Names => {
  const entries = isNode(map) ? listOf(map["map"]) : []
  if (entries.length === 0) return outer
  const names = new Map(outer)
  for (const entry of entries) {
    if (!isNode(entry) || !isNode(entry["value"]) || !isNode(entry["value"]["query"])) continue
    names.set(nameOf(entry["key"]), columnsOf(entry["value"]["query"]["node"], names, depth + 1))
  }
  return names
}

/** The columns of what stands in a FROM clause, at least; `sources` has those of its parts by their names. */
const columnsFrom = (value: unknown, names: Names, sources: Map<string, number>, depth: number): number => {
  if (!isNode(value) || depth > deepest) return 1
  const named = (columns: number, name: string) => {
    sources.set(name, columns)
    return columns
  }
  const alias = nameOf(value["alias"])
  switch (value["type"]) {
    case "EMPTY":
      return 0
    case "BASE_TABLE": {
      const name = nameOf(value["table_name"])
      const isQualified = value["schema_name"] !== undefined || value["catalog_name"] !== undefined
      return named((isQualified ? undefined : names.get(name)) ?? 1, alias || name)
    }
    case "SUBQUERY": {
      const query = value["subquery"]
      return named(columnsOf(isNode(query) ? query["node"] : undefined, names, depth + 1), alias)
    }
    case "JOIN": {
      const left = columnsFrom(value["left"], names, sources, depth + 1)
      const right = columnsFrom(value["right"], names, sources, depth + 1)
      visit(value["condition"], names, depth + 1)
      const isPlain = value["ref_type"] !== "NATURAL"
      const isWhole = !ofLeft.includes(value["join_type"])
      const shared = listOf(value["using_columns"]).length
      return isPlain && isWhole ? Math.max(left, left + right - shared) : left
    }
    default:
      visit(Object.values(value), names, depth + 1)
      return 1
  }
}

const columnsOfItem = (item: unknown, all: number, sources: Names): number => {
  if (!isNode(item) || item["class"] !== "STAR") return 1
  if (item["columns"] === true || item["expr"] !== undefined) return 0
  const left = listOf(item["exclude_list"]).length + listOf(item["qualified_exclude_list"]).length
  const name = nameOf(item["relation_name"])
  return Math.max(0, (name === "" ? all : (sources.get(name) ?? 1)) - left)
}

/** Counts the parts of the expressions of a list, with those of others that they name. */
const checkParts = (list: ReadonlyArray<unknown>): void => {
  const parts = new Map<string, number>()
  let sum = 0
  for (const item of list) {
    const own = partsOf(item, parts, 0)
    sum += own
    if (sum > mostParts) {
      throw new Excess(`The expressions that the query's names stand for have more than ${mostParts} parts`)
    }
    if (isNode(item) && typeof item["alias"] === "string") parts.set(nameOf(item["alias"]), own)
  }
}

const partsOf = (value: unknown, parts: Names, depth: number): number => {
  if (!isNode(value) || depth > deepest || isQuery(value)) return 0
  if (Array.isArray(value)) return value.reduce((sum, child) => sum + partsOf(child, parts, depth + 1), 0)
  if (value["class"] === "COLUMN_REF") {
    const path = listOf(value["column_names"])
    return path.length === 1 ? (parts.get(nameOf(path[0])) ?? 1) : 1
  }
  let sum = value["class"] === undefined ? 0 : 1
  for (const child of Object.values(value)) sum += partsOf(child, parts, depth + 1)
  return sum
}
