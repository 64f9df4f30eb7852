/**
 * Paths that stand where a table does. DuckDB would read the file, if no table has that name.
 *
 * Of a query its parser tells the names of tables. It gives no tree of statements that write, so their text is
 * looked at. That is a guess, on which no more rests than whether a client may find out by trying where served files
 * are: all other files are closed to it in any case.
 */

const path =
  /[/\\]|^file:|\.(csv|tsv|txt|json|jsonl|ndjson|parquet|pq|duckdb|ddb|db|sqlite)(\.(gz|zst|br))?$/i

const extension = /^(csv|tsv|txt|json|jsonl|ndjson|parquet|pq|duckdb|ddb|db|sqlite|gz|zst|br)$/i

/** Whether a name of a table is one of a file. */
export const isPath = (name: string): boolean => path.test(name)

/**
 * Whether a table's name might be the end of a file's: DuckDB takes `"/srv/a".csv` for one too, if it has no such table
 * in no such schema.
 */
export const mayBeEnd = (name: string): boolean => extension.test(name)

/** A table with the schema, and perhaps the catalog, that it is named with. */
export interface Qualified {
  readonly qualifiers: ReadonlyArray<string>
  readonly table: string
}

/** The tables of a parser's tree whose whole names are those of files. */
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

/** Comments, quoted texts, names in quotes, words and parentheses. What is not closed goes on to the end. */
export const token =
  /--[^\n]*|\/\*.*?(?:\*\/|$)|(?<=\be)'(?<escaped>(?:[^'\\]|\\.|'')*)(?:'|$)|'(?<text>(?:[^']|'')*)(?:'|$)|"(?<name>(?:[^"]|"")*)(?:"|$)|\$(?<tag>[a-z_]*)\$(?<dollars>.*?)(?:\$\k<tag>\$|$)|(?<word>[\w\u0080-\uffff][\w$\u0080-\uffff]*)|[()]/gis

/** Words that tables follow. */
const before = new Set([
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

/** Words after which there are none for a while. */
const after = new Set(
  (
    "select values where set on group order having limit offset window qualify returning union except intersect " +
    "when then"
  ).split(" ")
)

/** Whether a statement may name a file in the place of a table. */
export const mayBeRead = (sql: string): boolean => {
  /** For each parenthesis that is open, whether tables may stand in it now. */
  const levels = [false]
  let previous = ""
  for (const { 0: found, groups = {} } of sql.matchAll(token)) {
    if (found.startsWith("--") || found.startsWith("/*")) continue
    const isTable = levels.at(-1) === true || previous === "table"
    const { word } = groups
    previous = word?.toLowerCase() ?? ""
    if (found === "(") levels.push(isTable)
    else if (found === ")") {
      if (levels.length > 1) levels.pop()
    } else if (word !== undefined) {
      if (before.has(previous)) levels[levels.length - 1] = true
      else if (after.has(previous)) levels[levels.length - 1] = false
    } else if (
      isTable &&
      isPath(groups["escaped"] ?? groups["text"] ?? groups["name"] ?? groups["dollars"] ?? "")
    ) {
      return true
    }
  }
  return false
}
