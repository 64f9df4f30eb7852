/**
 * Quoting for SQL text.
 */

/** A string literal. */
export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

/** An identifier. */
export const identifier = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** A list of string literals. */
export const list = (texts: ReadonlyArray<string>): string => `[${texts.map(literal).join(", ")}]`

/**
 * The engine's own name for a column of a client's query: the query's names need quoting and may be repeated.
 * It is so unusual that errors with such a name can be recognised.
 */
export const column = (index: number): string => identifier(`#${index}`)

/**
 * The text with real names in place of those of {@link column} after `source column`, as in errors of casts.
 */
export const withNames = (message: string, names: ReadonlyArray<string>): string =>
  message.replace(/(?<=source column )#(\d+)/g, (shown, index) => names[Number(index)] ?? shown)
