/**
 * Tab completion of the typed text.
 */
import * as Statements from "../sql/Statements.ts"

/** The known part of a server's catalogue. */
export interface Catalogue {
  readonly keywords: ReadonlyArray<string>
  readonly tables: ReadonlyArray<Table>
}

export interface Table {
  readonly schema: string
  readonly name: string
  readonly columns: ReadonlyArray<string>
}

/** The catalogue of a server that offers none. */
export const empty: Catalogue = { keywords: [], tables: [] }

/** The matches, and the part of the line that they replace, in readline's form. */
export type Completion = readonly [matches: ReadonlyArray<string>, word: string]

/** A name in SQL, quoted if necessary. */
const quoted = (name: string, keywords: ReadonlySet<string>): string =>
  /^[a-z_][a-z0-9_]*$/.test(name) && !keywords.has(name) ? name : `"${name.replaceAll('"', '""')}"`

/** The word at the end of a line, or a name with an open quote. */
const wordAt = /[\w$\u0080-\uffff]*$/u
const openNameAt = /"[^"]*$/

/** Words before the name of a table. */
const beforeTable = /\b(?:from|join|into|update|table|describe|desc|summarize)\s+(?:[\w".]+\s*,\s*)*$/i

/** Words that cannot name a column unquoted: those that DuckDB reserves, and common ones besides. */
const reserved: ReadonlySet<string> = new Set(
  "all and as asc case cast check column create cross delete desc distinct drop else end exists false for from full group having in inner insert into is join left like limit not null offset on or order outer over partition right select set table then true union unique update using values when where window with".split(
    " "
  )
)

const startsWith = (candidates: ReadonlyArray<string>, word: string): ReadonlyArray<string> => {
  const lower = word.toLowerCase()
  const matches = candidates.filter((name) => name.toLowerCase().startsWith(lower))
  return [...new Set(matches)].toSorted()
}

/** The keywords in the user's case: lower if the word is. */
const keywordsFor = ({ keywords }: Catalogue, word: string): ReadonlyArray<string> => {
  const matches = startsWith(keywords, word)
  return /[a-z]/.test(word)
    ? matches.map((name) => name.toLowerCase())
    : matches.map((name) => name.toUpperCase())
}

const tableNames = ({ tables }: Catalogue): ReadonlyArray<string> =>
  tables.map(({ name }) => quoted(name, reserved))

/** The tables that a statement names; all if it names none. */
const named = (statement: string, { tables }: Catalogue): ReadonlyArray<Table> => {
  const words = new Set(
    Array.from(statement.matchAll(/"([^"]+)"|([\w\u0080-\uffff]+)/gu), ([, inQuotes, plain]) =>
      (inQuotes ?? plain ?? "").toLowerCase()
    )
  )
  const found = tables.filter(({ name }) => words.has(name.toLowerCase()))
  return found.length === 0 ? tables : found
}

/** The table that a prefix refers to: by its name, or by its alias in the statement. */
const prefixed = (prefix: string, statement: string, { tables }: Catalogue): ReadonlyArray<Table> => {
  const name = prefix.replaceAll('"', "").toLowerCase()
  const direct = tables.filter((table) => table.name.toLowerCase() === name)
  if (direct.length > 0) return direct
  return tables.filter((table) => {
    const escaped = table.name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")
    return new RegExp(`(?:\\b|")${escaped}"?\\s+(?:as\\s+)?"?${name}\\b`, "i").test(statement)
  })
}

/**
 * Completes the word at the end of `line`. `before` are the earlier lines of the same statement, `behind` is
 * the text after the cursor.
 */
export const complete = (
  line: string,
  {
    before,
    behind,
    catalogue
  }: { readonly before: string; readonly behind: string; readonly catalogue: Catalogue }
): Completion => {
  const text = `${before}${line}`
  const { open, rest } = Statements.split(text)
  if (open !== undefined && open !== '"') return [[], ""]
  const word = (open === '"' ? openNameAt : wordAt).exec(line)?.[0] ?? ""
  const bare = word.replace(/^"/, "")
  const head = text.slice(0, text.length - word.length)
  const statement = `${rest?.text ?? ""}${behind}`
  const [, prefix] = /((?:"[^"]+"|[\w\u0080-\uffff]+))\.$/u.exec(head) ?? []
  const offer = (names: ReadonlyArray<string>) =>
    startsWith(names, bare).map((name) => quoted(name, reserved))
  if (prefix !== undefined) {
    const schema = prefix.replaceAll('"', "").toLowerCase()
    const inSchema = catalogue.tables.filter((table) => table.schema.toLowerCase() === schema)
    const columns = prefixed(prefix, statement, catalogue).flatMap((table) => table.columns)
    return [offer([...columns, ...inSchema.map(({ name }) => name)]), word]
  }
  if (beforeTable.test(head)) return [offer(catalogue.tables.map(({ name }) => name)), word]
  if (word === "") return [[], word]
  const columns = named(statement, catalogue).flatMap((table) => table.columns)
  const names = offer([...columns, ...catalogue.tables.map(({ name }) => name)])
  return [word.startsWith('"') ? names : [...names, ...keywordsFor(catalogue, word)], word]
}

/** The names of tables, for commands that take one. */
export const completeTable = (word: string, catalogue: Catalogue): Completion => [
  startsWith(tableNames(catalogue), word),
  word
]

/** Completes to one of a few words. */
export const completeWord = (word: string, words: ReadonlyArray<string>): Completion => [
  startsWith(words, word),
  word
]
