/**
 * The lines of the statement that is being typed, until they are an entry of the history.
 *
 * As in psql, a statement and a command that was typed within it do not share an entry. Other than there, what stands
 * before the command and behind it is still one.
 */
import * as Statements from "../sql/Statements.ts"
import * as History from "./History.ts"

/** An entry of the history, and the lines that were typed for it. */
export interface Entry {
  readonly text: string
  readonly lines: ReadonlyArray<string>
}

/** A line, and what became of the statement that had been typed before it. */
export interface Typed {
  readonly line: string
  /** What had been typed before it and waited for its end, with a line break. */
  readonly before: string
  /** Whether a command of the line runs what stands before it. */
  readonly runs: boolean
  /** Whether something waits for its end now. */
  readonly isOpen: boolean
}

/** What a line is: a part of a statement, a command that was typed within one, or both. */
const kindOf = ({ before, line }: Typed): "statement" | "command" | "both" => {
  const { backslash } = Statements.split(`${before}${line}`, { backslashes: true })
  if (backslash === undefined) return "statement"
  return before !== "" && line.slice(0, Math.max(0, backslash - before.length)).trim() === ""
    ? "command"
    : "both"
}

export class TypedLines {
  private lines: Array<string> = []

  /** What has been typed of a statement is no longer wanted. */
  clear(): void {
    this.lines = []
  }

  /** Takes a line; the entries that are complete with it, the oldest first. */
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
