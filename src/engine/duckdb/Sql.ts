/** Quoting for SQL text. */

/** A string literal. */
export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

/** An identifier. */
export const identifier = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** A list of string literals. */
export const list = (texts: ReadonlyArray<string>): string => `[${texts.map(literal).join(", ")}]`
