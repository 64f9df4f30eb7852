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
  /** The names that a subquery gives its columns. */
  readonly columns: ReadonlyArray<string>
}

/** A common table expression. */
export interface Expression {
  readonly name: string
  columns: ReadonlyArray<string>
}

export interface Named {
  readonly tables: Array<Table>
  readonly expressions: Array<Expression>
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

/** The name of a column of a query, from the tokens of its expression. */
const columnOf = (doc: Text, item: ReadonlyArray<Node>): ReadonlyArray<string> => {
  const last = item.at(-1)
  if (last === undefined) return []
  const isNamed = /Identifier$/.test(last.name)
  const before = item.at(-2)
  const isAlias = before !== undefined && doc.sliceString(before.from, before.to).toLowerCase() === "as"
  const isAfterOperator = before?.name === "Operator" || before?.name === "."
  if (!isAlias && (!isNamed || isAfterOperator)) return []
  return pathOf(doc, last).slice(-1)
}

/** The names that a query in parentheses gives its columns, without those of a `*`. */
const columnsOf = (doc: Text, parens: Node): ReadonlyArray<string> => {
  const items: Array<Array<Node>> = []
  for (const node of children(parens)) {
    const word = doc.sliceString(node.from, Math.min(node.to, node.from + 16)).toLowerCase()
    if (word === "select") items.push([])
    else if (items.length > 0 && (listing.has(word) || ending.has(word) || word === ")")) break
    else if (items.length > 0 && word === ",") items.push([])
    else items.at(-1)?.push(node)
  }
  return items.flatMap((item) => columnOf(doc, item))
}

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
  /** The expression whose query may follow. */
  let expression: Expression | undefined
  /** Whether tables follow USING, not columns. */
  let usesTables = false
  const add = (path: ReadonlyArray<string>, columns: ReadonlyArray<string> = []): void => {
    last = { path, alias: path.at(-1) ?? "", columns }
    named.tables.push(last)
    expected = undefined
  }
  for (const node of children(parent)) {
    const word = doc.sliceString(node.from, Math.min(node.to, node.from + 16)).toLowerCase()
    if (node.name === "Parens") {
      find(doc, node, cursor, named)
      if (expected === "Table") add([], columnsOf(doc, node))
      else if (expression !== undefined) expression.columns = columnsOf(doc, node)
    } else if (word === ",") {
      expected = listed
      last = undefined
    } else if (isWord(node)) {
      if (word === "merge" || word === "delete") usesTables = true
      if (word === "join") usesTables = false
      if (usesTables && word === "using") {
        expected = listed = "Table"
        last = undefined
        usesTables = false
      } else if (listing.has(word) || introducing.has(word)) {
        expected = "Table"
        listed = listing.has(word) ? expected : undefined
        last = undefined
      } else if (word === "with") {
        expected = listed = "Expression"
      } else if (ending.has(word)) {
        expected = listed = last = expression = undefined
      } else if (!between.has(word)) {
        if (expected === "Table") add(pathOf(doc, node))
        // The word at the cursor is being written: it is no name yet.
        else if (node.from === cursor) last = undefined
        else if (expected === "Expression") {
          expression = { name: plain(doc, node), columns: [] }
          named.expressions.push(expression)
        } else if (last !== undefined) {
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
