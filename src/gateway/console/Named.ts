/**
 * The tables that a statement names, read from the tokens of the editor: a statement at which somebody is
 * writing is incomplete. Pure.
 */
import type { syntaxTree } from "@codemirror/language"
import type { Text } from "@codemirror/state"

export type Node = ReturnType<typeof syntaxTree>["topNode"]

export interface Table {
  /** The name, with its schema where that is given; empty for a subquery. */
  readonly path: ReadonlyArray<string>
  alias: string
}

export interface Named {
  readonly tables: Array<Table>
  /** The names of common table expressions. */
  readonly expressions: Array<string>
  /** Whether the name of a table is expected at the cursor. */
  expectsTable: boolean
}

const words = (text: string): ReadonlySet<string> => new Set(text.split(" "))

/** Words before a list of tables, and before a single one. */
const listing = words("from join")
const introducing = words("into update table describe summarize")
/** Words that may stand between those and the name, or between the name and its alias. */
const between = words("as lateral only if not exists recursive or temp temporary")
/** Other words that are not a name there. The parser does not know all of DuckDB's. */
const ending = words(
  "where group having order limit offset qualify window union except intersect select distinct set on using returning values insert delete left right full inner outer cross natural asof positional semi anti tablesample sample pivot unpivot when fetch for"
)

export const isWord = ({ name }: Node): boolean => /Identifier$|^(?:Keyword|Type|Builtin)$/.test(name)

export const children = (node: Node): ReadonlyArray<Node> => {
  const found: Array<Node> = []
  for (let child = node.firstChild; child !== null; child = child.nextSibling) found.push(child)
  return found
}

/** A name without its quotes. */
export const plain = (doc: Text, { from, name, to }: Node): string => {
  const text = doc.sliceString(from, to)
  return name === "QuotedIdentifier" ? text.replace(/^"|"$/g, "") : text
}

const pathOf = (doc: Text, node: Node): ReadonlyArray<string> =>
  (node.name === "CompositeIdentifier" ? children(node).filter(isWord) : [node]).map((part) =>
    plain(doc, part)
  )

/** The names in a statement, or in parentheses of it; the cursor's word begins at `cursor`. */
export const find = (
  doc: Text,
  parent: Node,
  cursor: number,
  named: Named = { tables: [], expressions: [], expectsTable: false }
): Named => {
  /** What a comma is followed by, and what is expected now. */
  let listed: "Table" | "Expression" | undefined
  let expected = listed
  /** The table whose alias may follow. */
  let last: Table | undefined
  const add = (path: ReadonlyArray<string>): void => {
    last = { path, alias: path.at(-1) ?? "" }
    named.tables.push(last)
    expected = undefined
  }
  for (const node of children(parent)) {
    const word = doc.sliceString(node.from, Math.min(node.to, node.from + 16)).toLowerCase()
    if (node.name === "Parens") {
      find(doc, node, cursor, named)
      if (expected === "Table") add([])
    } else if (word === ",") {
      expected = listed
      last = undefined
    } else if (isWord(node)) {
      if (listing.has(word) || introducing.has(word)) {
        expected = "Table"
        listed = listing.has(word) ? expected : undefined
        last = undefined
      } else if (word === "with") {
        expected = listed = "Expression"
      } else if (ending.has(word)) {
        expected = listed = last = undefined
      } else if (!between.has(word)) {
        if (expected === "Table") add(pathOf(doc, node))
        // The word at the cursor is being written: it is no name yet.
        else if (node.from === cursor) last = undefined
        else if (expected === "Expression") named.expressions.push(plain(doc, node))
        else if (last !== undefined) {
          last.alias = plain(doc, node)
          last = undefined
        }
        expected = undefined
      }
    }
    if (node.to <= cursor) named.expectsTable = expected === "Table"
  }
  return named
}
