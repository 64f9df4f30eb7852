/**
 * Cuts a text of SQL into its statements, as psql does: at semicolons outside of quotes and comments.
 *
 * **Details**
 *
 * Only the places of the cuts are decided here. The server judges the meaning and validity of a statement: an
 * unclosed quote is sent to it with the rest of the text. The rules are those of DuckDB's lexer, which are
 * PostgreSQL's: `''` and `""`, backslashes in `E'…'`, nested comments, `$tag$ … $tag$`.
 */

/** A statement without the semicolon at its end. `offset` is its beginning in the text, in UTF-16 units. */
export interface Statement {
  readonly text: string
  readonly offset: number
}

/** The open construct at the end of a text: a quote, a comment, or nothing. */
export type Open = "'" | '"' | "/*" | "$" | "--" | undefined

export interface Split {
  /** The statements that end with a semicolon, without empty ones. */
  readonly statements: ReadonlyArray<Statement>
  /** The text after the last semicolon, if it contains more than blanks and comments. */
  readonly rest: Statement | undefined
  /** The beginning of the rest, including blanks and comments. */
  readonly restStart: number
  /** Whether a quote or a comment is open at the end. A line comment (`--`) is open until a line break. */
  readonly open: Open
  /**
   * The place of the first backslash outside of quotes and comments; the text after it has not been scanned.
   */
  readonly backslash: number | undefined
}

type Kind = "code" | "blank" | "comment" | "semicolon" | "backslash"

interface Token {
  readonly kind: Kind
  readonly end: number
  readonly open?: Open
}

/** A name or a number. Every non-ASCII character may be part of a name. */
const wordPattern = /[\w\u0080-\uffff][\w$\u0080-\uffff]*/y
const dollarPattern = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y
const blankPattern = /\s+/y

const match = (pattern: RegExp, text: string, at: number): string | undefined => {
  pattern.lastIndex = at
  return pattern.exec(text)?.[0]
}

/** From an opening quote to after the closing one. A doubled quote is treated as two adjacent strings. */
const quoted = (text: string, at: number, quote: "'" | '"', backslashes: boolean): Token => {
  for (let i = at + 1; i < text.length; i++) {
    if (backslashes && text[i] === "\\") i++
    else if (text[i] === quote) return { kind: "code", end: i + 1 }
  }
  return { kind: "code", end: text.length, open: quote }
}

const dollarQuoted = (text: string, at: number, tag: string): Token => {
  const close = text.indexOf(tag, at + tag.length)
  return close === -1
    ? { kind: "code", end: text.length, open: "$" }
    : { kind: "code", end: close + tag.length }
}

const lineComment = (text: string, at: number): Token => {
  const length = text.slice(at).search(/[\n\r]/)
  return length === -1
    ? { kind: "comment", end: text.length, open: "--" }
    : { kind: "comment", end: at + length + 1 }
}

const blockComment = (text: string, at: number): Token => {
  let depth = 1
  for (let i = at + 2; i < text.length; i++) {
    if (text.startsWith("/*", i)) {
      depth++
      i++
    } else if (text.startsWith("*/", i)) {
      depth--
      i++
      if (depth === 0) return { kind: "comment", end: i + 1 }
    }
  }
  return { kind: "comment", end: text.length, open: "/*" }
}

const tokenAt = (text: string, at: number): Token => {
  const character = text[at] as string
  if (character === ";") return { kind: "semicolon", end: at + 1 }
  if (character === "\\") return { kind: "backslash", end: at + 1 }
  if (character === "'" || character === '"') return quoted(text, at, character, false)
  if (text.startsWith("--", at)) return lineComment(text, at)
  if (text.startsWith("/*", at)) return blockComment(text, at)
  if (character === "$") {
    const tag = match(dollarPattern, text, at)
    if (tag !== undefined) return dollarQuoted(text, at, tag)
  }
  const blank = match(blankPattern, text, at)
  if (blank !== undefined) return { kind: "blank", end: at + blank.length }
  const word = match(wordPattern, text, at)
  if (word === undefined) return { kind: "code", end: at + 1 }
  const end = at + word.length
  // Only a prefix right before the quote makes backslashes escapes.
  return /^e$/i.test(word) && text[end] === "'" ? quoted(text, end, "'", true) : { kind: "code", end }
}

/**
 * Cuts the text. With `backslashes`, it stops at the first backslash outside of quotes and comments, where
 * psql's commands begin.
 */
export const split = (text: string, options: { readonly backslashes?: boolean } = {}): Split => {
  const statements: Array<Statement> = []
  let start = 0
  let hasCode = false
  let open: Open
  const statement = (end: number): Statement => {
    const part = text.slice(start, end)
    const trimmed = part.trimStart()
    return { text: trimmed.trimEnd(), offset: start + part.length - trimmed.length }
  }
  let at = 0
  let backslash: number | undefined
  while (at < text.length) {
    const token = tokenAt(text, at)
    if (token.kind === "backslash" && options.backslashes === true) {
      backslash = at
      break
    }
    open = token.open
    if (token.kind === "semicolon") {
      if (hasCode) statements.push(statement(at))
      start = token.end
      hasCode = false
    } else if (token.kind === "code" || token.kind === "backslash") {
      hasCode = true
    }
    at = token.end
  }
  return { statements, rest: hasCode ? statement(at) : undefined, restStart: start, open, backslash }
}

/** The parameters that a text names: `$name`, and the number of positional ones, `$2` or `?`. */
export interface Named {
  /** In lower case, since DuckDB ignores case. */
  readonly names: ReadonlySet<string>
  readonly positions: number
}

/** Finds the parameters, outside of quotes and comments. */
export const parametersOf = (text: string): Named => {
  const names = new Set<string>()
  let highest = 0
  let marks = 0
  for (let at = 0; at < text.length; ) {
    const { end } = tokenAt(text, at)
    if (text[at] === "?") marks++
    const name = text[at] === "$" && end === at + 1 ? match(wordPattern, text, end) : undefined
    if (name !== undefined && /^\d/.test(name)) highest = Math.max(highest, Number.parseInt(name, 10))
    else if (name !== undefined) names.add(name.toLowerCase())
    at = end
  }
  return { names, positions: Math.max(highest, marks) }
}

/** Every statement of the text, including the last one even without a semicolon. */
export const all = (text: string): ReadonlyArray<Statement> => {
  const { rest, statements } = split(text)
  return rest === undefined ? statements : [...statements, rest]
}
