/**
 * Files that are not UTF-8, at whose sight DuckDB has given an instance up: it does not get to read them again
 * until they change.
 */
import * as Context from "effect/Context"
import * as IllText from "./IllText.ts"

/** Fields that identify the content of a file. */
export interface Version {
  readonly dev: bigint
  readonly ino: bigint
  readonly size: bigint
  readonly mtimeNs: bigint
}

/** A file that was read when DuckDB failed. */
export interface Suspect extends Version {
  readonly path: string
}

/** Most suspects that are remembered; the oldest are forgotten first. */
const maxSuspects = 256

export class IllFiles {
  private readonly suspects = new Map<string, Suspect & { line?: Promise<number | undefined> }>()
  private readonly note: (suspect: Suspect) => void

  /** The known suspects; `note` is told of others. */
  constructor(known: ReadonlyArray<Suspect> = [], note: (suspect: Suspect) => void = () => {}) {
    for (const suspect of known) this.add(suspect)
    this.note = note
  }

  private add(suspect: Suspect): void {
    this.suspects.set(suspect.path, suspect)
    for (const path of this.suspects.keys()) {
      if (this.suspects.size <= maxSuspects) break
      this.suspects.delete(path)
    }
  }

  /** Is told before the file is searched, because the process may end meanwhile. */
  suspect(path: string, { dev, ino, mtimeNs, size }: Version): void {
    const suspect = { path, dev, ino, size, mtimeNs }
    this.add(suspect)
    this.note(suspect)
  }

  /** The number of the first line of a suspect that is not UTF-8. */
  async lineOf(path: string, version: Version | undefined): Promise<number | undefined> {
    const suspect = this.suspects.get(path)
    if (suspect === undefined) return undefined
    if (version === undefined || !isSame(suspect, version)) {
      this.suspects.delete(path)
      return undefined
    }
    suspect.line ??= IllText.lineOf(path).catch(() => undefined)
    const line = await suspect.line
    if (line === undefined && this.suspects.get(path) === suspect) this.suspects.delete(path)
    return line
  }
}

const isSame = (a: Version, b: Version): boolean =>
  a.dev === b.dev && a.ino === b.ino && a.size === b.size && a.mtimeNs === b.mtimeNs

/** The files that engines of this thread know. */
export const Known: Context.Reference<IllFiles> = Context.Reference("dataconn/engine/duckdb/IllFiles", {
  defaultValue: () => new IllFiles()
})
