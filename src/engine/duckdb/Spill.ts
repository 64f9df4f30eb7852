/**
 * Private directories for data that outgrow the memory.
 *
 * Each is named by the process that made it, so that the next one to start removes the leftovers of
 * a killed process.
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
import { join, resolve, sep } from "node:path"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { DuckDbError } from "./Failure.ts"

/**
 * A directory in `parent` (default: the system's for temporary files) that only this process's user can enter
 * (mode 0700); deleted with the scope. Directories of ended processes are deleted, too.
 *
 * Fails with a {@link DuckDbError} that names `spillDirectory`; with `mayLack` it only logs the error.
 */
export const make = Effect.fnUntraced(function* (
  parent: string = tmpdir(),
  mayLack = false
): Effect.fn.Return<string, DuckDbError, Scope.Scope> {
  const path = resolve(parent, `${prefix}${owner("self")}-${randomBytes(6).toString("hex")}`)
  const problem = yield* Effect.acquireRelease(
    Effect.sync(() =>
      problemOf(() => {
        restore(path)
        removeStale(parent)
      })
    ),
    // A directory that cannot be removed now, such as for lack of descriptors, is removed by the next
    // process that starts.
    () => Effect.sync(() => void problemOf(() => remove(path)))
  )
  if (problem !== undefined) {
    const message = `spillDirectory: no directory could be made in ${parent}: ${reasonOf(problem)}`
    if (!mayLack) return yield* new DuckDbError({ setting: "spillDirectory", message })
    yield* Effect.logError(`${message}; ${consequence}`)
  }
  return path
})

const consequence =
  "until it can be, queries that write there fail: those that need more memory, and Parquet results"

/** How often a directory is checked. */
const interval: Duration.Input = "1 second"

/** After so many checks its times are renewed: cleaners of temporary files remove old ones. */
const looksToRenewal = 3600

/**
 * Ensures that a directory exists, and never looks old, while the scope is open. A deleted directory is made
 * again. Where that is impossible, as in a process that has given up the right to, an error is logged. `each`
 * runs after every check.
 */
export const kept = Effect.fnUntraced(function* (
  path: string,
  each: Effect.Effect<void> = Effect.void
): Effect.fn.Return<void, never, Scope.Scope> {
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
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(interval), Effect.andThen(look, each))))
})

/** DuckDB's directory for one instance, which deletes the files of others in its own when it closes. */
export const ofInstance = Effect.fnUntraced(function* (
  directory: string,
  nth: number
): Effect.fn.Return<string, never, Scope.Scope> {
  const path = join(directory, String(nth))
  yield* Effect.addFinalizer(() => Effect.sync(() => void problemOf(() => remove(path))))
  ensure(path)
  return path
})

/** The reasons of a system that a user can do something about. */
const reasons: Readonly<Record<string, string>> = {
  ENOENT: "there is no such directory",
  ENOTDIR: "it is no directory",
  EACCES: "the server's user may not write there",
  EROFS: "it cannot be written to"
}

/** A problem of a directory's parent, in words. */
const reasonOf = (problem: string): string =>
  reasons[/^Error: (E[A-Z]+):/.exec(problem)?.[1] ?? ""] ?? problem

const problemOf = (attempt: () => void): string | undefined => {
  try {
    attempt()
    return undefined
  } catch (cause) {
    return String(cause)
  }
}

/**
 * Makes a missing directory, and missing parents of ours. A directory of another user in their
 * place is not used.
 */
export const restore = (path: string): void => {
  const parts = path.split(sep)
  const outermost = parts.findIndex((part) => named.test(part))
  for (let i = outermost < 0 ? parts.length : outermost + 1; i <= parts.length; i++) {
    const each = parts.slice(0, i).join(sep)
    if (statOf(each) === undefined) makeUnlessThere(each)
    if (!isOurs(each)) throw new Error(`${each} is another's now`)
  }
}

/** Tries to restore the directory; its users report a failure. */
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

/** Updates all times of a directory. */
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
 * The directory within `privateDirectory` that DuckDB makes and spills to.
 *
 * DuckDB lets queries access the files of its own `temp_directory`. But all its functions that read files
 * treat their argument as a pattern, and DuckDB refuses a pattern with two `**` before it looks at the disk.
 * A backslash is a separator for it like a slash. So queries can neither list nor read a directory of this
 * name, while DuckDB's own files need no pattern.
 */
export const unreadable = (privateDirectory: string): string =>
  join(privateDirectory, process.platform === "win32" ? "spill" : "**\\**")

const prefix = "dataconn-"

const named = /^dataconn-((\d+)-(\d+)-(\d+))-\w+$/

/**
 * The maker of a directory: the namespace of its process id, the id, and the start time of that process
 * in ticks since the system's start. The id alone may belong to another process by now. Zeros where
 * there is no `/proc`.
 */
const owner = (pid: number | "self"): string => {
  const id = pid === "self" ? process.pid : pid
  try {
    const [namespace = "0"] = /\d+/.exec(readlinkSync("/proc/self/ns/pid")) ?? []
    // The name of the program, in parentheses, may contain blanks.
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
    // Processes of another namespace are invisible here, and may well be running.
    if (itsNamespace !== namespace || isRunning(maker, Number(pid))) continue
    const path = join(parent, name)
    // Another user's directory is not ours to remove.
    if (isOurs(path)) rmSync(path, { recursive: true, force: true })
  }
}

const isRunning = (maker: string | undefined, pid: number): boolean => {
  try {
    process.kill(pid, 0)
  } catch (cause) {
    // Any other error means that the process exists, as another user's.
    if ((cause as NodeJS.ErrnoException).code === "ESRCH") return false
  }
  return owner(pid) === maker
}
