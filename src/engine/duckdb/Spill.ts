/**
 * Private directories for what outgrows the memory.
 *
 * Each is named by the process that made it, so that the next one to start removes what a killed process left.
 *
 * Everything here is synchronous: the command makes its directory before it gives up its write rights, and
 * must not start libuv's threads before that (`cli/Landlock`).
 */
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  rmSync,
  statSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { DuckDbError } from "./Failure.ts"

/**
 * A directory in `parent` (default: the system's for temporary files) that only this process's user can enter
 * (mode 0700); deleted with the scope. Directories of processes that are gone are deleted first.
 *
 * Fails with a {@link DuckDbError} that names `spillDirectory`.
 */
export const make = (parent: string = tmpdir()): Effect.Effect<string, DuckDbError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.try({
      try: () => {
        removeStale(parent)
        return mkdtempSync(join(parent, `${prefix}${owner("self")}-`))
      },
      catch: (cause) =>
        new DuckDbError({
          setting: "spillDirectory",
          message: `spillDirectory: no directory could be made in ${parent}: ${String(cause)}`,
          cause
        })
    }),
    (path) => Effect.sync(() => remove(path))
  )

/** The process may be allowed to remove nothing but an empty directory of `parent` (`cli/Landlock`). */
const remove = (path: string): void => {
  if (!existsSync(path)) return
  for (const name of readdirSync(path)) rmSync(join(path, name), { recursive: true, force: true })
  rmdirSync(path)
}

/**
 * The directory within `privateDirectory` that DuckDB shall make and spill to.
 *
 * DuckDB lets queries reach the files of its own `temp_directory`. But all its functions that read files take
 * their argument for a pattern, and it refuses a pattern with `**` twice before it looks at the disk. A
 * backslash separates for it as a slash does. So they can neither list nor read a directory of this name, while
 * DuckDB's own files need no pattern.
 */
export const unreadable = (privateDirectory: string): string =>
  join(privateDirectory, process.platform === "win32" ? "spill" : "**\\**")

const prefix = "dataconn-"

const named = /^dataconn-((\d+)-(\d+)-(\d+))-\w+$/

/**
 * Who made a directory: the namespace of its process id, the id, and when that process started in ticks since
 * the system did. An id alone may be another process's by now. Zeros where there is no `/proc`.
 */
const owner = (pid: number | "self"): string => {
  const id = pid === "self" ? process.pid : pid
  try {
    const [namespace = "0"] = /\d+/.exec(readlinkSync("/proc/self/ns/pid")) ?? []
    // The name of the program, in parentheses, may hold blanks.
    const afterName = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /s, "")
    return `${namespace}-${id}-${afterName.split(" ")[startTime]}`
  } catch {
    return `0-${id}-0`
  }
}

/** Field 22 of `/proc/PID/stat`, counted from the one after the name. */
const startTime = 19

const removeStale = (parent: string): void => {
  const [namespace] = owner("self").split("-")
  for (const name of readdirSync(parent)) {
    const [, maker, itsNamespace, pid] = named.exec(name) ?? []
    // Processes of another namespace cannot be seen from here: theirs may well be running.
    if (itsNamespace !== namespace || isRunning(maker, Number(pid))) continue
    const path = join(parent, name)
    // Another's is not ours to remove, and may go away while we look.
    if (statSync(path, { throwIfNoEntry: false })?.uid === process.getuid?.()) {
      rmSync(path, { recursive: true, force: true })
    }
  }
}

const isRunning = (maker: string | undefined, pid: number): boolean => {
  try {
    process.kill(pid, 0)
  } catch (cause) {
    // Any other error says that it is there, as another user's.
    if ((cause as NodeJS.ErrnoException).code === "ESRCH") return false
  }
  return owner(pid) === maker
}
