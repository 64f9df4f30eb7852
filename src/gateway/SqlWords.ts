/**
 * Properties of a query's text, without parsing it: the tables that it names, and whether it would change
 * something. Pure.
 *
 * The text is split into words like SQL; literals and comments are left out. It need not be SQL.
 */

interface Token {
  /** In lower case, unless it is quoted; a sign is itself. */
  readonly text: string
  readonly kind: "word" | "quoted" | "sign"
}

const pattern =
  /--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|'(?:[^']|'')*(?:'|$)|\$([A-Za-z_]*)\$[\s\S]*?(?:\$\1\$|$)|"((?:[^"]|"")*)(?:"|$)|`([^`]*)(?:`|$)|([\p{L}_][\p{L}\p{N}_$]*)|([().,;])/gu

const tokens = (query: string): ReadonlyArray<Token> => {
  const found: Array<Token> = []
  for (const [, , double, back, word, sign] of query.matchAll(pattern)) {
    if (word !== undefined) found.push({ kind: "word", text: word.toLowerCase() })
    else if (sign !== undefined) found.push({ kind: "sign", text: sign })
    else if (double !== undefined) found.push({ kind: "quoted", text: double.replaceAll('""', '"') })
    else if (back !== undefined) found.push({ kind: "quoted", text: back })
  }
  return found
}

const writing: ReadonlySet<string> = new Set([
  "insert",
  "update",
  "delete",
  "merge",
  "upsert",
  "replace",
  "create",
  "drop",
  "alter",
  "truncate",
  "rename",
  "copy",
  "attach",
  "detach",
  "install",
  "load",
  "call",
  "do",
  "execute",
  "export",
  "import",
  "vacuum",
  "checkpoint",
  "grant",
  "revoke",
  "optimize",
  "kill",
  "system",
  "set",
  "reset"
])

const isWord = (token: Token | undefined, ...words: ReadonlyArray<string>): boolean =>
  token?.kind === "word" && words.includes(token.text)

/**
 * The word with which a query would change something, if there is one where a statement may begin. It prefers
 * false positives.
 */
export const writes = (query: string): string | undefined => {
  const all = tokens(query)
  const explains = isWord(all[0], "explain", "profile")
  return all.find((token, index) => {
    if (token.kind !== "word") return false
    const before = all[index - 1]
    const begins = before === undefined || (before.kind === "sign" && "();".includes(before.text))
    return (
      (writing.has(token.text) && (begins || explains)) || (token.text === "into" && before !== undefined)
    )
  })?.text
}

/** Words before a table, and those that end a list of tables. */
const introducing: ReadonlySet<string> = new Set([
  "from",
  "join",
  "into",
  "update",
  "table",
  "describe",
  "summarize"
])
const ending: ReadonlySet<string> = new Set(
  "where group having order limit qualify window union except intersect select set on using returning values".split(
    " "
  )
)

/** Words that may stand between those and the name. */
const between: ReadonlySet<string> = new Set(["if", "not", "exists", "only", "lateral", "temp", "temporary"])

/** The most parts of a table's name: its catalog, its schema and the name itself. */
const maxParts = 3

/** The tables that a query names, in lower case, each with and without its schema and catalog. */
export const tables = (query: string): ReadonlySet<string> => {
  const all = tokens(query)
  const named = new Set<string>()
  const outer: Array<boolean> = []
  /** Whether a comma precedes another table. */
  let lists = false
  let expects = false
  for (let at = 0; at < all.length; at++) {
    const token = all[at] as Token
    if (token.kind === "sign") {
      if (token.text === "(") {
        outer.push(lists)
        lists = false
        expects = false
      } else if (token.text === ")") lists = outer.pop() ?? false
      else if (token.text === ",") expects = lists
      else if (token.text === ";") lists = false
    } else if (token.kind === "word" && introducing.has(token.text)) {
      expects = true
      lists = token.text === "from" || token.text === "join"
    } else if (token.kind === "word" && ending.has(token.text)) {
      lists = false
      expects = false
    } else if (expects && !(token.kind === "word" && between.has(token.text))) {
      const name = [token.text]
      while (all[at + 1]?.text === "." && all[at + 2] !== undefined && all[at + 2]?.kind !== "sign") {
        name.push((all[at + 2] as Token).text)
        at += 2
      }
      // A table function is not a table.
      if (all[at + 1]?.text !== "(") {
        for (let parts = 1; parts <= maxParts; parts++) named.add(name.slice(-parts).join(".").toLowerCase())
      }
      expects = false
    }
  }
  return named
}
