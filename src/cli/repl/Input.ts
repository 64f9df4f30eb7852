/**
 * The input so far, cut into statements and commands. A statement may have many lines, up to its semicolon; a
 * command begins with a backslash and ends with its line, as in psql.
 */
import * as Statements from "../sql/Statements.ts"

/** An action to perform. */
export type Action =
  | { readonly _tag: "Statement"; readonly text: string }
  /** A command, with the unfinished text before it on its line or the lines above. */
  | {
      readonly _tag: "Command"
      readonly name: string
      readonly argument: string
      readonly pending: string | undefined
    }

/** Words that are commands if they are typed alone, known from other shells. */
const words: Readonly<Record<string, string>> = { help: "?", exit: "q", quit: "q" }

const wordOf = (line: string): string => line.trim().replace(/;$/, "").toLowerCase()

/** Lines without any of these do not change the open quote or comment. */
const mayMatter = /[;\\'"$/*-]/

export class Input {
  private buffer = ""
  private open: Statements.Open

  /** The mark in the prompt: `=` at the beginning, `-` within a statement, or the open quote. */
  get mark(): string {
    if (this.buffer === "") return "="
    return this.open === undefined || this.open === "--" ? "-" : this.open.charAt(0)
  }

  /** The unfinished input. */
  get pending(): string {
    return this.buffer
  }

  /** Discards the unfinished input. */
  clear(): void {
    this.buffer = ""
    this.open = undefined
  }

  /** A hint for a user who seems to want to leave a statement: within one, a word of other shells is SQL. */
  hint(line: string): string | undefined {
    const word = wordOf(line)
    if (this.mark !== "-" || !Object.hasOwn(words, word)) return undefined
    return `Within a statement, \\${words[word]} is for that, and Ctrl-C forgets what was typed.`
  }

  /** Takes a line, without its line break. */
  push(line: string): ReadonlyArray<Action> {
    const word = wordOf(line)
    if (this.buffer === "" && Object.hasOwn(words, word)) return [command(words[word] ?? "", undefined)]
    const before = this.buffer
    this.buffer = before === "" && line.trim() === "" ? "" : `${before}${line}\n`
    if (before !== "" && !mayMatter.test(line)) return []
    return this.cut()
  }

  private cut(): ReadonlyArray<Action> {
    const text = this.buffer
    const { backslash, open, rest, restStart, statements } = Statements.split(text, { backslashes: true })
    const actions: Array<Action> = statements.map(({ text }) => ({ _tag: "Statement", text }))
    if (backslash !== undefined) {
      this.clear()
      if (rest !== undefined) this.buffer = `${rest.text}\n`
      return [...actions, command(text.slice(backslash + 1), rest?.text)]
    }
    this.open = open
    // Comments alone are dropped, except one that is still open.
    this.buffer = rest !== undefined || open === "/*" ? text.slice(restStart).trimStart() : ""
    return actions
  }
}

const command = (text: string, pending: string | undefined): Action => {
  const [, name = "", argument = ""] = /^(\S*)\s*(.*?)\s*;?\s*$/s.exec(text) ?? []
  return { _tag: "Command", name, argument, pending }
}
