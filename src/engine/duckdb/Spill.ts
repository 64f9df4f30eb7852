/**
 * Private directories for what outgrows the memory.
 *
 * Each is named by the process that made it, so that the next one to start removes what a killed process left.
 *
 * Everything here is synchronous: the command makes its directory before it gives up its write rights, and
 * must not start libuv's threads before that (`cli/Landlock`).
 */
import { randomBytes } from "node:crypto"
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  rmSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join, sep } from "node:path"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { DuckDbError } from "./Failure.ts"

/**
 * A directory in `parent` (default: the system's for temporary files) that only this process's user can enter
 * (mode 0700); deleted with the scope. Directories of processes that are gone are deleted, too.
 *
 * Fails with a {@link DuckDbError} that names `spillDirectory`; if it `mayLack`, only the log says so.
 */
export const make = Effect.fnUntraced(function* (
  parent: string = tmpdir(),
  mayLack = false
): Effect.fn.Return<string, DuckDbError, Scope.Scope> {
  const path = join(parent, `${prefix}${owner("self")}-${randomBytes(6).toString("hex")}`)
  const problem = yield* Effect.acquireRelease(
    Effect.sync(() =>
      problemOf(() => {
        restore(path)
        removeStale(parent)
      })
    ),
    // What cannot be removed now, as for want of descriptors, is by the next that starts.
    () => Effect.sync(() => void problemOf(() => remove(path)))
  )
  if (problem !== undefined) {
    const message = `spillDirectory: no directory could be made in ${parent}: ${problem}`
    if (!mayLack) return yield* new DuckDbError({ setting: "spillDirectory", message })
    yield* Effect.logError(`${message}; ${consequence}`)
  }
  return path
})

const consequence =
  "until it can be, queries that write there fail: those that need more memory, and Parquet results"

/** How often a directory is looked for. */
const interval: Duration.Input = "1 second"

/** Its times are renewed after so many looks: cleaners of temporary files take what is old. */
const looksToRenewal = 3600

/**
 * Has a directory be there, and never look old, for as long as the scope is open. One that was deleted is made again. Where
 * that cannot be, as in a process that has given up the right to, the log says so.
 */
export const kept = Effect.fnUntraced(function* (path: string): Effect.fn.Return<void, never, Scope.Scope> {
  let looks = 0
  let problem = problemOf(() => restore(path))
  const look = Effect.suspend(() => {
    const wasMissing = !existsSync(path)
    const before = problem
    problem = problemOf(() => {
      restore(path)
      if (++looks % looksToRenewal === 0) use(path)
    })
    if (problem === undefined) {
      return wasMissing
        ? Effect.logWarning(`The directory ${path} had been deleted, and is made again`)
        : Effect.void
    }
    return before === undefined
      ? Effect.logError(
          `The directory ${path} is gone, and cannot be made again (${problem}); ${consequence}`
        )
      : Effect.void
  })
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(interval), look)))
})

const problemOf = (attempt: () => void): string | undefined => {
  try {
    attempt()
    return undefined
  } catch (cause) {
    return String(cause)
  }
}

/** Makes a directory, and those of ours above it, where they are missing. What is another's in their place is not used. */
export const restore = (path: string): void => {
  const parts = path.split(sep)
  const outermost = parts.findIndex((part) => named.test(part))
  for (let i = outermost < 0 ? parts.length : outermost + 1; i <= parts.length; i++) {
    const each = parts.slice(0, i).join(sep)
    if (statOf(each) === undefined) makeUnlessThere(each)
    if (!isOurs(each)) throw new Error(`${each} is another's now`)
  }
}

/** Tries to; what needs it says what is wrong. */
export const ensure = (path: string): void => void problemOf(() => restore(path))

const makeUnlessThere = (path: string): void => {
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (cause) {
    // Another process of this server was faster.
    if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw cause
  }
}

const statOf = (path: string) => lstatSync(path, { throwIfNoEntry: false })

const isOurs = (path: string): boolean => {
  const found = statOf(path)
  return found?.isDirectory() === true && found.uid === (process.getuid?.() ?? found.uid)
}

/** Changes all times of a directory. */
const use = (path: string): void => {
  rmdirSync(mkdtempSync(join(path, "used-")))
  readdirSync(path)
}

/** The process may be allowed to remove nothing but an empty directory of `parent` (`cli/Landlock`). */
const remove = (path: string): void => {
  if (!isOurs(path)) return
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
    // Another's is not ours to remove.
    if (isOurs(path)) rmSync(path, { recursive: true, force: true })
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
