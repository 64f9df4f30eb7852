/**
 * The history of typed entries, in a file that only its user may read.
 */
import * as Fs from "node:fs"
import { homedir } from "node:os"
import { dirname, join } from "node:path"
import * as Statements from "../sql/Statements.ts"

/** How many entries are kept. */
export const size = 1000

/** The variable that names the file. */
export const variable = "DATACONN_HISTORY"

const mode = 0o600

/** The file of the variable, or the one in the user's home directory. */
export const file = (env: Readonly<Record<string, string | undefined>> = process.env): string =>
  env[variable] || join(homedir(), ".dataconn_history")

/** The entries of a file, newest first; whether it keeps more, and the problem if there is one. */
export interface Loaded {
  readonly entries: ReadonlyArray<string>
  readonly isKept: boolean
  readonly problem: string | undefined
}

/** Reads the entries of the file. A device, such as `/dev/null`, keeps none, and stays unchanged. */
export const load = (path: string): Loaded => {
  try {
    // Opening it for appending creates it, and shows at once if it cannot be written.
    const descriptor = Fs.openSync(path, "a+", mode)
    try {
      if (!Fs.fstatSync(descriptor).isFile()) return { entries: [], isKept: false, problem: undefined }
      Fs.fchmodSync(descriptor, mode)
      const lines = Fs.readFileSync(descriptor, "utf8")
        .split("\n")
        .filter((line) => line !== "")
      const kept = lines.slice(-size)
      if (lines.length > 2 * size) replace(path, kept)
      return { entries: kept.toReversed(), isKept: true, problem: undefined }
    } finally {
      Fs.closeSync(descriptor)
    }
  } catch (error) {
    return { entries: [], isKept: false, problem: (error as Error).message }
  }
}

const replace = (path: string, lines: ReadonlyArray<string>): void => {
  const other = join(dirname(path), `.dataconn_history.${process.pid}`)
  Fs.writeFileSync(other, `${lines.join("\n")}\n`, { mode })
  Fs.renameSync(other, path)
}

/** Adds an entry. A failed write is ignored. */
export const append = (path: string, entry: string): void => {
  try {
    Fs.appendFileSync(path, `${entry}\n`, { mode })
  } catch {
    // `load` has reported it.
  }
}

/**
 * The lines of a statement joined to one, for a line editor's history; `undefined` if that would change its
 * meaning: a line break within quotes must stay, and a comment to the end of a line would continue.
 */
export const joined = (lines: ReadonlyArray<string>): string | undefined => {
  let text = ""
  for (const line of lines) {
    text = text === "" ? line : `${text} ${line.trim()}`
    const { open } = Statements.split(text)
    if (open !== undefined && open !== "/*") return lines.length === 1 ? text : undefined
  }
  return text
}
