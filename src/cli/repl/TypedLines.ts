/**
 * The lines of the statement being typed, until they become an entry of the history.
 *
 * As in psql, a statement and a command typed within it do not share an entry. Unlike in psql, the text
 * before the command and the text after it are still one entry.
 */
import * as Statements from "../sql/Statements.ts"
import * as History from "./History.ts"

/** An entry of the history, with the lines that were typed for it. */
export interface Entry {
  readonly text: string
  readonly lines: ReadonlyArray<string>
}

/** A line, with its effect on the statement typed before it. */
export interface Typed {
  readonly line: string
  /** The unfinished text before the line, with a line break. */
  readonly before: string
  /** Whether a command in the line runs the text before it. */
  readonly runs: boolean
  /** Whether there is unfinished text now. */
  readonly isOpen: boolean
}

/** The kind of a line: a part of a statement, a command typed within one, or both. */
const kindOf = ({ before, line }: Typed): "statement" | "command" | "both" => {
  const { backslash } = Statements.split(`${before}${line}`, { backslashes: true })
  if (backslash === undefined) return "statement"
  return before !== "" && line.slice(0, Math.max(0, backslash - before.length)).trim() === ""
    ? "command"
    : "both"
}

export class TypedLines {
  private lines: Array<string> = []

  /** Discards the typed part of a statement. */
  clear(): void {
    this.lines = []
  }

  /** Takes a line. Returns the entries that it completes, oldest first. */
  push(typed: Typed): ReadonlyArray<Entry> {
    const { isOpen, line, runs } = typed
    const kind = kindOf(typed)
    if (kind === "command" && !runs) {
      const command = { text: line, lines: [line] }
      return isOpen ? [command] : [...this.flush(), command]
    }
    if (line.trim() !== "") this.lines.push(line)
    return isOpen && kind !== "both" ? [] : this.flush()
  }

  private flush(): ReadonlyArray<Entry> {
    const { lines } = this
    this.clear()
    const text = History.joined(lines)
    if (text === undefined) return lines.map((line) => ({ text: line, lines: [line] }))
    return text === "" ? [] : [{ text, lines }]
  }
}
