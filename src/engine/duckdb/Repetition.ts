/**
 * Constructs that DuckDB's parser itself expands. `CASE x WHEN` repeats `x` for each WHEN, so nested operands
 * grow exponentially; CUBE, ROLLUP and GROUPING SETS expand to up to 65,535 sets each. Pure.
 */

/** Most characters that CASE repeats. DuckDB parses a million in up to 5 s. */
const mostRepeated = 1024 * 1024

/** Most such clauses. DuckDB parses and binds the sets of each in up to 0.3 s. */
const mostGroupings = 32

const concerned = /\b(?:case|cube|rollup|grouping)\b/i

const inName = String.raw`[\w$\u0080-\uffff]`

/** The relevant words, and the parts of a text without any: literals, quoted names and comments. */
const token = new RegExp(
  [
    String.raw`--[^\n\r]*`,
    String.raw`(?<comment>/\*)`,
    String.raw`(?<!${inName})e'[^'\\]*(?:(?:\\[\s\S]|'')[^'\\]*)*'`,
    `'[^']*(?:''[^']*)*'`,
    `"[^"]*(?:""[^"]*)*"`,
    String.raw`(?<!${inName})(?<quote>\$(?:[a-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$)`,
    `(?<!${inName})(?<word>case|when|end|cube|rollup|grouping|sets)(?!${inName})`
  ].join("|"),
  "gi"
)

/** The text before a word that is used as a name. */
const naming = new RegExp(`(?:\\.|(?<!${inName})as)$`, "i")

const commentMark = /\/\*|\*\//g

/** The end of a comment, which may contain nested comments. */
const endOfComment = (sql: string, start: number): number => {
  commentMark.lastIndex = start
  for (let depth = 0; ; ) {
    const mark = commentMark.exec(sql)
    if (mark === null) return sql.length
    depth += mark[0] === "/*" ? 1 : -1
    if (depth === 0) return commentMark.lastIndex
  }
}

const endOfText = (sql: string, quote: string, start: number): number => {
  const end = sql.indexOf(quote, start)
  return end === -1 ? sql.length : end + quote.length
}

/** An open CASE: its expansion besides its own text, and the length of its operand. */
interface Case {
  readonly start: number
  more: number
  operand: number
  whens: number
}

/** The limit that a text exceeds, in words. */
export const excess = (sql: string): string | undefined => {
  if (!concerned.test(sql)) return undefined
  const cases: Array<Case> = []
  let repeated = 0
  let groupings = 0
  let last = ""
  let end = 0
  let before = ""
  token.lastIndex = 0
  for (let match = token.exec(sql); match !== null; match = token.exec(sql)) {
    const { comment, quote, word } = match.groups as Readonly<Record<string, string | undefined>>
    const gap = sql.slice(end, match.index).trimEnd()
    if (gap !== "") before = gap.slice(-3)
    if (comment !== undefined) token.lastIndex = endOfComment(sql, match.index)
    if (quote !== undefined) token.lastIndex = endOfText(sql, quote, token.lastIndex)
    end = token.lastIndex
    const name = naming.test(before) ? "" : (word?.toLowerCase() ?? "")
    if (comment === undefined && !match[0].startsWith("--")) before = ""
    const current = cases.at(-1)
    if (name === "case") cases.push({ start: end, more: 0, operand: 0, whens: 0 })
    else if (name === "when" && current !== undefined) {
      if (current.whens++ === 0) current.operand = match.index - current.start + current.more
    } else if (name === "end" && current !== undefined) {
      const copies = current.operand * Math.max(0, current.whens - 1)
      repeated += copies
      cases.pop()
      const outer = cases.at(-1)
      if (outer !== undefined) outer.more += current.more + copies
      if (repeated > mostRepeated) return caseExcess
    } else if (name === "cube" || name === "rollup" || (name === "sets" && last === "grouping")) {
      if (++groupings > mostGroupings) return groupingExcess
    }
    if (name !== "") last = name
  }
  return undefined
}

const caseExcess = `CASE repeats what stands before its first WHEN for each WHEN, here more than ${mostRepeated} characters; compute it in a subquery`

const groupingExcess = `The query has more than ${mostGroupings} times CUBE, ROLLUP or GROUPING SETS; split it`
