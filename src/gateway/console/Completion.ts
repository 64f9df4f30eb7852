/**
 * The completions of the editor: names of tables and columns. First come the columns of the tables that the
 * statement names, or tables where one is expected.
 */
import type { Completion, CompletionContext, CompletionResult } from "@codemirror/autocomplete"
import { ensureSyntaxTree, syntaxTree } from "@codemirror/language"
import type { EditorState } from "@codemirror/state"
import type { Schema, Table } from "./Api.ts"
import { qualified, quoted } from "./Catalog.ts"
import * as Named from "./Named.ts"

/** How long parsing may take; after that only what has been parsed is known. */
const parseMs = 50
/** The greatest boost of CodeMirror. */
const first = 99

type Path = ReadonlyArray<string>

/** Whether a name, given with its last part and maybe some before it, is that of `parts`. */
const isNamed = (parts: Path, name: Path): boolean =>
  name.length > 0 &&
  name.every((part, at) => part.toLowerCase() === parts.at(at - name.length)?.toLowerCase())

/** A name, and its text in a query. */
const option = (
  label: string,
  type: string,
  boost = 0,
  { text = quoted(label), ...more }: Partial<Completion> & { readonly text?: string } = {}
): Completion => ({ label, type, boost, apply: text, ...more })

/** Columns in the order of their tables, each name once. */
const columnsOf = (tables: ReadonlyArray<Table>): ReadonlyArray<Completion> => {
  const columns = new Map(tables.flatMap(({ columns }) => columns.map((column) => [column.name, column])))
  return [...columns.values()].map(({ name, type }, at) =>
    option(name, "property", first, {
      detail: type,
      sortText: String(at).padStart(5, "0")
    })
  )
}

/** The name at the cursor: where it begins, and the parts before it. */
const nameAt = (state: EditorState, node: Named.Node, pos: number) => {
  const isWord = Named.isWord(node)
  const parts = node.parent?.name === "CompositeIdentifier" ? Named.children(node.parent) : []
  const from = isWord ? node.from : pos
  const before = parts.filter((part) => part.to <= from && Named.isWord(part))
  return {
    from,
    before: before.map((part) => Named.plain(state.doc, part)),
    isQuoted: node.name === "QuotedIdentifier",
    isEmpty: !isWord && before.length === 0
  }
}

const statementAt = (top: Named.Node, pos: number): Named.Node | undefined => {
  const statement = top.getChildren("Statement").findLast(({ from }) => from <= pos)
  return statement?.lastChild?.name === ";" && statement.to <= pos ? undefined : statement
}

const nothing: Named.Named = { tables: [], expressions: [], expectsTable: false }

/** The completions of names in these schemas. */
export const source = (schemas: ReadonlyArray<Schema>) => {
  const all = schemas.flatMap((schema) => schema.tables.map((table) => ({ schema, table })))
  const tablesOf = (path: Path): ReadonlyArray<Table> =>
    all
      .filter(({ schema, table }) => isNamed([schema.catalog, schema.name, table.name], path))
      .map(({ table }) => table)

  /** The columns of a table or alias, or the tables of a schema. */
  const within = (name: Path, { tables }: Named.Named): ReadonlyArray<Completion> => {
    const aliased = tables.filter(({ alias }) => isNamed([alias], name))
    const known = [name, ...aliased.map(({ path }) => path)].flatMap(tablesOf)
    // The columns of a subquery are not known, but mostly they are those of its tables.
    const isSubquery = known.length === 0 && aliased.length > 0
    return [
      ...columnsOf(isSubquery ? tables.flatMap(({ path }) => tablesOf(path)) : known),
      ...schemas
        .filter((schema) => isNamed([schema.catalog, schema.name], name))
        .flatMap((schema) => schema.tables.map(({ name }) => option(name, "type", first)))
    ]
  }

  const anywhere = ({ expectsTable, expressions, tables }: Named.Named): ReadonlyArray<Completion> => {
    const boost = expectsTable ? first : 0
    return [
      ...(expectsTable ? [] : columnsOf(tables.flatMap(({ path }) => tablesOf(path)))),
      ...all.map(({ schema, table }) =>
        option(table.name, "type", boost, { text: qualified(schema, table) })
      ),
      ...schemas.map(({ name }) => option(name, "namespace", -1)),
      ...expressions.map((name) => option(name, "type", boost)),
      ...tables
        .filter(({ alias, path }) => alias !== "" && alias !== path.at(-1))
        .map(({ alias }) => option(alias, "constant", 1))
    ]
  }

  return ({ explicit, pos, state }: CompletionContext): CompletionResult | null => {
    const tree = ensureSyntaxTree(state, state.doc.length, parseMs) ?? syntaxTree(state)
    const node = tree.resolveInner(pos, -1)
    if (/Comment$|^(?:String|Number)$/.test(node.name)) return null
    const { before, from, isEmpty, isQuoted } = nameAt(state, node, pos)
    if (isEmpty && !explicit) return null
    const statement = statementAt(tree.topNode, pos)
    const named = statement === undefined ? nothing : Named.find(state.doc, statement, from)
    const options = before.length > 0 ? within(before, named) : anywhere(named)
    if (!isQuoted) return { from, options, validFor: /^\w*$/ }
    return {
      from,
      to: state.sliceDoc(pos, pos + 1) === '"' ? pos + 1 : pos,
      options: options.map((option) => ({ ...option, label: `"${option.label}"` })),
      validFor: /^"[^"]*"?$/
    }
  }
}
