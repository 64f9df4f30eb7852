/**
 * Rewrites the command's arguments for its parser: words that stand for flags, and queries that
 * look like flags.
 */

type Rewrite = (rest: ReadonlyArray<string>, commands: ReadonlyArray<string>) => ReadonlyArray<string>

/** Words for flags of the same meaning. */
const words: Readonly<Record<string, Rewrite>> = {
  help: (rest, commands) => {
    const [about = "-"] = rest
    // The parser reports an unknown command, and suggests a known one.
    const isUnknown = !about.startsWith("-") && !commands.includes(about) && !Object.hasOwn(words, about)
    return isUnknown ? [about] : [...rest, "--help"]
  },
  version: () => ["--version"],
  completions: (rest) => ["--completions", ...rest]
}

/** A query that begins with a comment: two dashes and a blank, or a line that is no flag with lines below it. */
const comment = /^--(?:\s|(?![a-z][a-z-]*=)[^\n]*\n)/

/** The parser takes everything after `--` verbatim. */
const withQueryLast = (args: ReadonlyArray<string>): ReadonlyArray<string> => {
  const at = args.findIndex((argument) => comment.test(argument))
  if (at === -1 || args.slice(0, at).includes("--")) return args
  const query = args[at] ?? ""
  return [...args.slice(0, at), ...args.slice(at + 1), "--", query]
}

/** A negative number after the name of a flag is its value, and no other flag. */
const withNegatives = (args: ReadonlyArray<string>): ReadonlyArray<string> => {
  const rewritten: Array<string> = []
  for (const [index, argument] of args.entries()) {
    if (argument === "--") return [...rewritten, ...args.slice(index)]
    const flag =
      /^-\.?\d/.test(argument) && /^--[a-z-]+$/.test(args[index - 1] ?? "") ? rewritten.pop() : undefined
    rewritten.push(flag === undefined ? argument : `${flag}=${argument}`)
  }
  return rewritten
}

/** Rewrites the arguments of the process, whose commands have these names. */
export const rewrite = (
  args: ReadonlyArray<string>,
  commands: ReadonlyArray<string>
): ReadonlyArray<string> => {
  const [first = "", ...rest] = args
  if (Object.hasOwn(words, first)) return words[first]?.(rest, commands) ?? args
  return withNegatives(first === "query" ? withQueryLast(args) : args)
}
