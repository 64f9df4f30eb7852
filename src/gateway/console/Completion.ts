/**
 * The completions of the editor: names of tables and columns. First come the columns of the tables that the
 * statement names, or tables where one is expected.
 */
import type { Completion, CompletionContext, CompletionResult } from "@codemirror/autocomplete"
import { PostgreSQL } from "@codemirror/lang-sql"
import { ensureSyntaxTree, syntaxTree } from "@codemirror/language"
import { type EditorState, Text } from "@codemirror/state"
import * as Named from "./Named.ts"
import { defaultSchema, qualified, quoted, type Schema, type Table } from "./Tables.ts"

/** How long parsing may take; after that only what has been parsed is known. */
const parseMs = 50
/** Longer texts are not parsed another time. */
const maxParsed = 100_000
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

/** Columns in the order of their tables. */
const columnsOf = (tables: ReadonlyArray<Table>): ReadonlyArray<Completion> =>
  tables
    .flatMap(({ columns }) => columns)
    .map(({ name, type }, at) =>
      option(name, "property", first, { detail: type, sortText: String(at).padStart(5, "0") })
    )

/** The completions without columns whose name an earlier one has. */
const unique = (options: ReadonlyArray<Completion>): ReadonlyArray<Completion> => {
  const columns = new Set<string>()
  return options.filter(({ label, type }) => {
    if (type !== "property") return true
    const isFirst = !columns.has(label)
    columns.add(label)
    return isFirst
  })
}

/** The name at the cursor: where it begins, and the parts before it. */
const nameAt = (doc: Text, node: Named.Node, pos: number) => {
  const isWord = Named.isWord(node)
  const parts = node.parent?.name === "CompositeIdentifier" ? Named.children(node.parent) : []
  const from = isWord ? node.from : pos
  const before = parts.filter((part) => part.to <= from && Named.isWord(part))
  return {
    from,
    before: before.map((part) => Named.plain(doc, part)),
    isQuoted: node.name === "QuotedIdentifier",
    isEmpty: !isWord && before.length === 0
  }
}

const statementAt = (top: Named.Node, pos: number): Named.Node | undefined => {
  const statement = top.getChildren("Statement").findLast(({ from }) => from <= pos)
  return statement?.lastChild?.name === ";" && statement.to <= pos ? undefined : statement
}

/** The text and its tokens; an open quote at the cursor is closed there, or else it would reach to the end. */
const parsed = (state: EditorState, pos: number): { readonly doc: Text; readonly top: Named.Node } => {
  const { doc } = state
  const top = (ensureSyntaxTree(state, doc.length, parseMs) ?? syntaxTree(state)).topNode
  const isIn = top.resolveInner(pos, -1).name === "QuotedIdentifier"
  if (!isIn || doc.length > maxParsed || !isOpen(doc, top)) return { doc, top }
  const closed = doc.replace(pos, pos, Text.of(['"']))
  return { doc: closed, top: PostgreSQL.language.parser.parse(closed.toString()).topNode }
}

/** Whether the last quote of a text has no end. */
const isOpen = (doc: Text, top: Named.Node): boolean => {
  const { from, name, to } = top.resolveInner(doc.length, -1)
  return name === "QuotedIdentifier" && (to === from + 1 || doc.sliceString(to - 1, to) !== '"')
}

const nothing: Named.Named = { tables: [], expressions: [], expectsTable: false }

/** The completions of names in these schemas. */
export const source = (schemas: ReadonlyArray<Schema>) => {
  const all = schemas.flatMap((schema) => schema.tables.map((table) => ({ schema, table })))
  const tablesOf = (path: Path): ReadonlyArray<Table> => {
    const found = all.filter(({ schema, table }) => isNamed([schema.catalog, schema.name, table.name], path))
    const ofDefault = path.length === 1 ? found.filter(({ schema }) => schema.name === defaultSchema) : []
    return (ofDefault.length > 0 ? ofDefault : found).map(({ table }) => table)
  }

  /** The columns that a subquery or a common table expression names. */
  const own = ({ columns, path }: Named.Table, { expressions }: Named.Named): ReadonlyArray<Completion> =>
    [
      ...columns,
      ...expressions.filter(({ name }) => isNamed([name], path)).flatMap((expression) => expression.columns)
    ].map((name) => option(name, "property", first, { sortText: "!" }))

  /** The columns of a table or alias, or the tables of a schema. */
  const within = (name: Path, named: Named.Named): ReadonlyArray<Completion> => {
    const { tables } = named
    const aliased = tables.filter(({ alias }) => isNamed([alias], name))
    const known = (aliased.length > 0 ? aliased.map(({ path }) => path) : [name]).flatMap(tablesOf)
    // The columns of a subquery are not known, but mostly they are those of its tables.
    const isSubquery = known.length === 0 && aliased.length > 0
    return [
      ...aliased.flatMap((table) => own(table, named)),
      ...columnsOf(isSubquery ? tables.flatMap(({ path }) => tablesOf(path)) : known),
      ...schemas
        .filter((schema) => isNamed([schema.catalog, schema.name], name))
        .flatMap((schema) => schema.tables.map(({ name }) => option(name, "type", first)))
    ]
  }

  const anywhere = (named: Named.Named): ReadonlyArray<Completion> => {
    const { expectsTable, expressions, tables } = named
    const boost = expectsTable ? first : 0
    return [
      ...(expectsTable ? [] : tables.flatMap((table) => own(table, named))),
      ...(expectsTable ? [] : columnsOf(tables.flatMap(({ path }) => tablesOf(path)))),
      ...all.map(({ schema, table }) =>
        option(table.name, "type", boost, {
          text: qualified(schema, table),
          ...(schema.name === defaultSchema ? {} : { detail: schema.name })
        })
      ),
      ...schemas.map(({ name }) => option(name, "namespace", -1)),
      ...expressions.map(({ name }) => option(name, "type", boost)),
      ...tables
        .filter(({ alias, path }) => alias !== "" && alias !== path.at(-1))
        .map(({ alias }) => option(alias, "constant", 1))
    ]
  }

  return ({ explicit, pos, state }: CompletionContext): CompletionResult | null => {
    const { doc, top } = parsed(state, pos)
    const node = top.resolveInner(pos, -1)
    if (/Comment$|^(?:String|Number)$/.test(node.name)) return null
    const { before, from, isEmpty, isQuoted } = nameAt(doc, node, pos)
    if (isEmpty && !explicit) return null
    const statement = statementAt(top, pos)
    const named = statement === undefined ? nothing : Named.find(doc, statement, from)
    const options = unique(before.length > 0 ? within(before, named) : anywhere(named))
    if (!isQuoted) return { from, options, validFor: /^\w*$/ }
    return {
      from,
      to: state.sliceDoc(pos, pos + 1) === '"' ? pos + 1 : pos,
      options: options.map((option) => ({ ...option, label: `"${option.label}"` })),
      validFor: /^"[^"]*"?$/
    }
  }
}
