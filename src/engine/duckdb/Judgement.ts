/**
 * Decides whether a client may run a statement, by the functions and views that its text names.
 *
 * Functions are allowed by name ({@link Functions}), also those inside views and macros that a client makes.
 * Views and macros of a served database are the operator's: only their names are checked, not their contents.
 */
import { type QueryError, queryError } from "../QueryApi.ts"
import * as Functions from "./Functions.ts"
import type { Queries } from "./Parser.ts"
import * as Tokens from "./Tokens.ts"
import * as Variant from "./Variant.ts"
import type { Words } from "./Words.ts"

/** The permissions of a server's clients beyond reading. */
export interface Permissions {
  readonly readWrite: boolean
  readonly allowExternalAccess: boolean
  /** Whether the request itself asked that nothing be changed. */
  readonly isReadOnlyAsked?: boolean
}

/** The reason why changes are refused. */
export const onlyReads = ({ isReadOnlyAsked, readWrite }: Permissions): string => {
  if (readWrite) return ""
  return isReadOnlyAsked === true
    ? ": the request is one that changes nothing (readOnly)"
    : ": this server only reads"
}

/** DuckDB's own functions: for each lower-case name, whether it is used as a table. */
export type BuiltIn = ReadonlyMap<string, ReadonlyArray<boolean>>

const isAllowed = (name: string, isTable: boolean, permissions: Permissions): boolean =>
  isTable
    ? Functions.tables.has(name) || (permissions.allowExternalAccess && Functions.readers.has(name))
    : Functions.values.has(name) || (permissions.readWrite && Functions.sequences.has(name))

/**
 * Called functions that are on no list: macros of the served database, hidden functions of DuckDB,
 * and misspelt names.
 */
export const unknown = (queries: Queries, permissions: Permissions): ReadonlyArray<string> => [
  ...queries.functions.filter(
    (name) => !isAllowed(name, false, permissions) && !isAllowed(name, true, permissions)
  ),
  ...queries.tableFunctions.filter((name) => !isAllowed(name, true, permissions))
]

/**
 * A reason to refuse queries of which these functions are {@link unknown}.
 *
 * A nonexistent name is left to DuckDB, whose error has its position. With `allowExternalAccess` DuckDB might
 * load an extension for it, so then it has to be one of `macros`, those of the served database.
 */
export const ofFunctions = (
  names: ReadonlyArray<string>,
  builtIn: BuiltIn,
  permissions: Permissions,
  macros: ReadonlySet<string>
): QueryError | undefined => {
  const refused = names.find((name) => {
    const uses = builtIn.get(name)
    if (uses === undefined) return permissions.allowExternalAccess && !macros.has(name)
    return uses.some((isTable) => isTable || !isAllowed(name, false, permissions))
  })
  if (refused === undefined) return undefined
  const why = Functions.sequences.has(refused) ? onlyReads(permissions) : ""
  return notForClients("function", refused, why)
}

/**
 * A reason to refuse queries for the aggregates that they name as texts; `undefined` stands
 * for a non-literal.
 */
export const ofAggregates = (names: ReadonlyArray<string | undefined>): QueryError | undefined => {
  for (const name of names) {
    if (name === undefined) {
      return queryError(
        "not_allowed",
        "The name that list_aggregate is given must be a literal, in a query that is not very long, and in a statement " +
          "that writes its list must be a column: there list_sum and its like take anything"
      )
    }
    if (!Functions.values.has(name.toLowerCase())) return notForClients("function", name)
  }
  return undefined
}

/** A reason to refuse queries for the views that they name. */
export const ofViews = ({ tables, schemas }: Queries): QueryError | undefined => hidden(tables, schemas)

/** First words of statements that change data. */
const writing: ReadonlySet<string> = new Set(
  "alter analyze call comment create delete drop insert merge truncate update vacuum with".split(" ")
)

/** First words of statements that access files, and so need both permissions. */
const exporting: ReadonlySet<string> = new Set(["copy", "export"])

/**
 * The first word of a statement for which DuckDB reads files as soon as it splits a text into statements: it
 * inserts the statements of these files, which have not been judged.
 */
const importing = "import"

/** A reason to refuse a statement without a tree before DuckDB splits its text. */
export const ofImport = (keyword: string | undefined, permissions: Permissions): QueryError | undefined =>
  keyword === importing ? ofKeyword(keyword, permissions, "") : undefined

const keptFromAll: ReadonlyMap<string, string> = new Map([
  ["attach", "a query has only the databases that the server serves"],
  ["checkpoint", "the server makes its own"],
  ["force", "the server makes its own checkpoints"],
  ["install", "DuckDB itself gets the extensions that queries with external access need"],
  ["load", "DuckDB itself loads the extensions that queries with external access need"]
])

/**
 * A reason to refuse a statement without a tree, for its first word. DuckDB looks for foreign files as soon
 * as it binds the statement, and its error would show where the server has its own.
 */
export const ofKeyword = (
  keyword: string | undefined,
  permissions: Permissions,
  sql: string
): QueryError | undefined => {
  const { allowExternalAccess, readWrite } = permissions
  if (keyword === undefined) {
    return queryError("not_allowed", "A statement that is no query begins with its keyword, or a comment")
  }
  const isWriting = writing.has(keyword)
  if (readWrite && (isWriting || (allowExternalAccess && exporting.has(keyword)))) return undefined
  const kept = keptFromAll.get(keyword)
  const name = keyword === "with" ? (Tokens.verb(sql) ?? keyword) : keyword
  const why = isWriting ? onlyReads(permissions) : kept === undefined ? "" : `: ${kept}`
  return queryError("not_allowed", `${name.toUpperCase()} statements are not allowed${why}`)
}

/** The error for objects that would be lost with the next statement. */
export const noTemporary = queryError(
  "not_allowed",
  "CREATE TEMP statements are not allowed: each statement has a session of its own, which ends with it"
)

/** The error for casts to VARIANT. */
export const noVariant = queryError("not_allowed", "Casts to VARIANT are not for clients; cast to JSON")

/** The error for files in place of tables. */
export const noFiles = queryError(
  "not_allowed",
  "A query names tables, not files: served files have the names of their tables"
)

/** The called functions for which a statement without a tree may be refused. */
export const suspect = (
  called: Iterable<string>,
  builtIn: BuiltIn,
  permissions: Permissions
): ReadonlyArray<string> =>
  Array.from(called).filter(
    (name) =>
      isRefused(name, builtIn, permissions) ||
      Functions.aggregating.has(name) ||
      Variant.fatalIn([name]) !== undefined
  )

const isRefused = (name: string, builtIn: BuiltIn, permissions: Permissions): boolean =>
  builtIn.get(name)?.some((isTable) => !isAllowed(name, isTable, permissions)) === true

/**
 * A reason to refuse a statement without a tree, for a word in it. `database` is the engine's own, which only
 * reading leaves unchanged.
 */
export const ofWords = (
  { all, called }: Words,
  builtIn: BuiltIn,
  permissions: Permissions,
  database: string
): QueryError | undefined => {
  for (const name of called) {
    if (isRefused(name, builtIn, permissions)) return notForClients("function", name)
  }
  if (all.has(database))
    return queryError("not_allowed", "The query names a database that is not for clients")
  return hidden(all, all)
}

/**
 * A reason to refuse queries that may call a function that crashes DuckDB with a value of VARIANT. `variants`
 * are the tables that have such values. The types of arguments are known only once DuckDB binds them, which
 * is too late. So the check is whether the query names one of the tables, or a macro, which may.
 */
export const ofVariants = (
  { functions, tableFunctions, tables }: Pick<Queries, "functions" | "tableFunctions" | "tables">,
  variants: ReadonlySet<string>,
  builtIn: BuiltIn,
  permissions: Permissions
): QueryError | undefined => {
  const fatal = variants.size === 0 ? undefined : Variant.fatalIn(functions)
  if (fatal === undefined) return undefined
  const mayRead =
    permissions.readWrite ||
    tables.some((name) => variants.has(name)) ||
    [...functions, ...tableFunctions].some((name) => !builtIn.has(name))
  return mayRead
    ? queryError(
        "not_allowed",
        `The function ${fatal} is not for queries that may read columns of VARIANT, of which the table ` +
          `${[...variants][0]} has one`
      )
    : undefined
}

const hidden = (tables: Iterable<string>, schemas: Iterable<string>): QueryError | undefined => {
  const { schema, view } = Functions.hiddenInSchema
  const qualified = new Set(schemas).has(schema)
  for (const name of tables) {
    if (Functions.hiddenViews.has(name) || (qualified && name === view)) return notForClients("view", name)
  }
  return undefined
}

const notForClients = (kind: "function" | "view", name: string, why = ""): QueryError =>
  queryError("not_allowed", `The ${kind} ${name} is not for clients${why}`)
