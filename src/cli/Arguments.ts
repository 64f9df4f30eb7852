/**
 * The arguments of the command as its parser takes them: words that stand for flags, and queries that look like flags.
 */

/** Words for flags of the same meaning. */
const words: Readonly<Record<string, (rest: ReadonlyArray<string>) => ReadonlyArray<string>>> = {
  help: (rest) => [...rest, "--help"],
  version: () => ["--version"],
  completions: (rest) => ["--completions", ...rest]
}

/** A query that begins with a comment: two dashes and a blank, or a line that is no flag with lines below it. */
const comment = /^--(?:\s|(?![a-z][a-z-]*=)[^\n]*\n)/

/** The parser takes what follows `--` as it is. */
const withQueryLast = (args: ReadonlyArray<string>): ReadonlyArray<string> => {
  const at = args.findIndex((argument) => comment.test(argument))
  if (at === -1 || args.slice(0, at).includes("--")) return args
  const query = args[at] ?? ""
  return [...args.slice(0, at), ...args.slice(at + 1), "--", query]
}

/** Rewrites the arguments of the process. */
export const rewrite = (args: ReadonlyArray<string>): ReadonlyArray<string> => {
  const [first = "", ...rest] = args
  if (Object.hasOwn(words, first)) return words[first]?.(rest) ?? args
  return first === "query" ? withQueryLast(args) : args
}
