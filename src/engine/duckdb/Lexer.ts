/**
 * As much of SQL's lexical structure as is needed to cut a single statement's text.
 */

const token =
  /[eE]'(?:[^'\\]|\\[\s\S]|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|(\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$)[\s\S]*?\1|--[^\n\r]*|[A-Za-z_]\w*|\s+|[\s\S]/y

interface Token {
  readonly text: string
  readonly start: number
  readonly blank: boolean
}

const blockComment = /\/\*|\*\//g

/** The end of a comment that starts at `start`; such comments nest. */
const commentEnd = (sql: string, start: number): number => {
  let depth = 0
  blockComment.lastIndex = start
  for (let match = blockComment.exec(sql); match !== null; match = blockComment.exec(sql)) {
    depth += match[0] === "/*" ? 1 : -1
    if (depth === 0) return blockComment.lastIndex
  }
  return sql.length
}

function* tokens(sql: string): Generator<Token> {
  let start = 0
  while (start < sql.length) {
    let end: number
    if (sql.startsWith("/*", start)) {
      end = commentEnd(sql, start)
    } else {
      token.lastIndex = start
      token.exec(sql)
      end = Math.max(token.lastIndex, start + 1)
    }
    const text = sql.slice(start, end)
    yield { text, start, blank: /^(\s|--|\/\*)/.test(text) }
    start = end
  }
}

/** The text of a single statement without what follows it: semicolons, blanks and comments. */
export const trimEnd = (sql: string): string => {
  let end = 0
  for (const { text, start, blank } of tokens(sql)) {
    if (!blank && text !== ";") end = start + text.length
  }
  return sql.slice(0, end)
}

/** The names that stand before a parenthesis, as functions do, in small letters. */
export const calls = (sql: string): ReadonlySet<string> => {
  const names = new Set<string>()
  let last = ""
  for (const { text, blank } of tokens(sql)) {
    if (blank) continue
    if (text === "(") names.add(last.replaceAll('"', "").toLowerCase())
    last = text
  }
  return names
}

/**
 * The statement that an `EXPLAIN` explains, or `undefined` where the text is none that is understood.
 * Options in parentheses and the words `ANALYZE` and `VERBOSE` may stand between.
 */
export const explained = (sql: string): string | undefined => {
  let depth = 0
  let seen = false
  for (const { text, start, blank } of tokens(sql)) {
    if (blank) continue
    if (!seen) {
      if (text.toUpperCase() !== "EXPLAIN") return undefined
      seen = true
    } else if (
      text === "(" &&
      (depth > 0 || /^\s*(format|analy[sz]e|verbose)\b/i.test(sql.slice(start + 1)))
    ) {
      depth++
    } else if (depth > 0) {
      if (text === ")") depth--
    } else if (!/^(analy[sz]e|verbose)$/i.test(text)) {
      return sql.slice(start)
    }
  }
  return undefined
}
