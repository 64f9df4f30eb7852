/**
 * Paths in place of tables. DuckDB reads the file if no table has that name.
 *
 * For a query, DuckDB's parser gives the names of tables. It gives no tree of statements that write, so their
 * text is searched. That is a guess, and it decides only whether a client may probe where served files are:
 * all other files are closed to it in any case.
 */
import * as Tokens from "./Tokens.ts"

const path =
  /[/\\]|^file:|\.(csv|tsv|txt|json|jsonl|ndjson|parquet|pq|duckdb|ddb|db|sqlite)(\.(gz|zst|br))?$/i

const extension = /^(csv|tsv|txt|json|jsonl|ndjson|parquet|pq|duckdb|ddb|db|sqlite|gz|zst|br)$/i

/** Whether a table name is a file name. */
export const isPath = (name: string): boolean => path.test(name)

/**
 * Whether a table's name might be the end of a file's: DuckDB also takes `"/srv/a".csv` for a file if it has
 * no such table in no such schema.
 */
export const mayBeEnd = (name: string): boolean => extension.test(name)

/** A name as DuckDB compares it: without regard to case, of ASCII letters only. */
export const fold = (name: string): string => name.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())

type Node = Readonly<Record<string, unknown>>

const isNode = (value: unknown): value is Node => typeof value === "object" && value !== null

/**
 * The names of files in place of tables in a parser's tree, except visible queries that the tree names itself
 * (WITH). `undefined` if the tree is nested too deeply.
 */
export const named = (tree: unknown): ReadonlyArray<string> | undefined => {
  const found: Array<string> = []
  try {
    walk(tree, new Set(), found)
    return found
  } catch (cause) {
    if (cause instanceof RangeError) return undefined
    throw cause
  }
}

const walk = (value: unknown, queries: ReadonlySet<string>, found: Array<string>): void => {
  if (Array.isArray(value)) for (const each of value) walk(each, queries, found)
  if (!isNode(value) || Array.isArray(value)) return
  const entries = isNode(value["cte_map"]) ? value["cte_map"]["map"] : undefined
  const known = Array.isArray(entries) ? new Set(queries) : queries
  // Each sees the ones before it.
  for (const { key, value: query } of Array.isArray(entries) ? entries : []) {
    walk(query, known, found)
    ;(known as Set<string>).add(fold(key))
  }
  const { cte_name, table_name } = value
  if (
    typeof table_name === "string" &&
    isPath(table_name) &&
    !(isAlone(value) && known.has(fold(table_name)))
  ) {
    found.push(table_name)
  }
  for (const key in value) {
    if (key === "cte_map") continue
    // Only the recursive part sees the query that it repeats.
    const isRepeated = value["type"] === "RECURSIVE_CTE_NODE" && key === "right"
    walk(value[key], isRepeated ? new Set([...known, fold(String(cte_name))]) : known, found)
  }
}

/** Whether a table is named without a schema. */
const isAlone = ({ catalog_name, schema_name, type }: Node): boolean =>
  type === "BASE_TABLE" && catalog_name === undefined && schema_name === undefined

/** A table with its schema, and catalog if any. */
export interface Qualified {
  readonly qualifiers: ReadonlyArray<string>
  readonly table: string
}

/** The tables of a parser's tree whose qualified names are those of files. */
export const qualified = (tree: unknown): ReadonlyArray<Qualified> => {
  const found: Array<Qualified> = []
  const rest: Array<unknown> = [tree]
  while (rest.length > 0) {
    const node = rest.pop()
    if (typeof node !== "object" || node === null) continue
    const { catalog_name, schema_name, table_name } = node as Readonly<Record<string, unknown>>
    const qualifiers = [catalog_name, schema_name].filter((name) => typeof name === "string")
    if (typeof table_name === "string" && qualifiers.length > 0) {
      if (isPath([...qualifiers, table_name].join("."))) found.push({ qualifiers, table: table_name })
    }
    for (const child of Object.values(node)) rest.push(child)
  }
  return found
}

/** Words that precede tables. */
const before = new Set([
  "update",
  "truncate",
  "analyze",
  "vacuum",
  "from",
  "join",
  "using",
  "pivot",
  "unpivot",
  "pivot_wider",
  "pivot_longer",
  "summarize",
  "describe",
  "desc",
  "show"
])

/** Words after which no tables follow for a while. */
const after = new Set(
  (
    "select values where set on group order having limit offset window qualify returning union except intersect " +
    "when then"
  ).split(" ")
)

/** Words before `table` where it declares the kind of a name, and is no query. */
const defining = new Set(["create", "replace", "alter", "drop", "on"])

/**
 * The names of files that a statement may have in place of tables. A part of a longer name is `undefined`:
 * its table cannot be determined.
 */
export const read = (sql: string): ReadonlyArray<string | undefined> => {
  const found: Array<string | undefined> = []
  /** For each open parenthesis, whether tables may follow in it now. */
  const levels = [false]
  let [first, previous] = ["", ""]
  /** The indexed table follows ON. */
  let isIndex = false
  for (const { 0: text, groups = {}, index } of sql.matchAll(Tokens.token)) {
    if (text.startsWith("--") || text.startsWith("/*")) continue
    const isTable = levels.at(-1) === true || (previous === "table" && !defining.has(first))
    const { word } = groups
    const isTarget = (previous === "into" && first === "merge") || (previous === "on" && isIndex)
    first = previous
    previous = word?.toLowerCase() ?? ""
    if (previous === "index" && (first === "create" || first === "unique")) isIndex = true
    if (text === "(") levels.push(isTable)
    else if (text === ")") {
      if (levels.length > 1) levels.pop()
    } else if (word !== undefined) {
      if (before.has(previous)) levels[levels.length - 1] = true
      else if (after.has(previous)) levels[levels.length - 1] = false
    } else if (isTable || isTarget) {
      const name = groups["escaped"] ?? groups["text"] ?? groups["name"] ?? groups["dollars"] ?? ""
      if (!isPath(name)) continue
      const isPart =
        /\.\s*$/.test(sql.slice(Math.max(0, index - 16), index)) || sql[index + text.length] === "."
      found.push(isPart ? undefined : name)
    }
  }
  return found
}
