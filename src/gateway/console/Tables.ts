/** The tables of the targets, and their names in SQL. Pure. */

export interface Table {
  readonly name: string
  readonly kind: string
  readonly columns: ReadonlyArray<{ readonly name: string; readonly type: string }>
}

export interface Schema {
  readonly catalog: string
  readonly name: string
  readonly tables: ReadonlyArray<Table>
}

export interface Target {
  readonly name: string
  readonly schemas?: ReadonlyArray<Schema>
  /** Whether `schemas` has all tables: the gateway limits it. */
  readonly isComplete?: boolean
  readonly error?: { readonly message: string }
}

const bare = /^[a-z_][a-z0-9_]*$/

/** A name quoted for SQL, if necessary. */
export const quoted = (name: string): string => (bare.test(name) ? name : `"${name.replaceAll('"', '""')}"`)

export const defaultSchema = "main"

/** The name of a table as it is written in a query. */
export const qualified = (schema: Schema, { name }: Table): string =>
  schema.name === defaultSchema ? quoted(name) : `${quoted(schema.name)}.${quoted(name)}`
