/**
 * The parts of a statement without a tree, as far as a pattern can tell. No protection of the
 * server relies on it.
 */

/** Comments, quoted texts, names in quotes, words and parentheses. An unclosed one extends to the end. */
export const token =
  /--[^\n]*|\/\*.*?(?:\*\/|$)|(?<=\be)'(?<escaped>(?:[^'\\]|\\.|'')*)(?:'|$)|'(?<text>(?:[^']|'')*)(?:'|$)|"(?<name>(?:[^"]|"")*)(?:"|$)|\$(?<tag>[a-z_]*)\$(?<dollars>.*?)(?:\$\k<tag>\$|$)|(?<word>[\w\u0080-\uffff][\w$\u0080-\uffff]*)|[()]/gis

const verbs: ReadonlySet<string> = new Set(["insert", "update", "delete", "merge"])

/** The verb of a statement that begins with WITH: its first such word outside of parentheses. */
export const verb = (sql: string): string | undefined => {
  let depth = 0
  for (const { 0: found, groups = {} } of sql.matchAll(token)) {
    if (found === "(") depth++
    else if (found === ")") depth--
    const word = groups["word"]?.toLowerCase() ?? ""
    if (depth === 0 && verbs.has(word)) return word
  }
  return undefined
}
