/** Quoting for SQL text. */

/** A string literal. */
export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

/** An identifier. */
export const identifier = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** A list of string literals. */
export const list = (texts: ReadonlyArray<string>): string => `[${texts.map(literal).join(", ")}]`

/**
 * The name of our own for a column of a client's query: those of the query need quoting and may occur twice. No
 * query has to have such a name, so that errors which show it can be told from others.
 */
export const column = (index: number): string => identifier(`#${index}`)

/** A text in which each of {@link column}'s names after `source column`, as casts that fail have it, is the real one. */
export const withNames = (message: string, names: ReadonlyArray<string>): string =>
  message.replace(/(?<=source column )#(\d+)/g, (shown, index) => names[Number(index)] ?? shown)
