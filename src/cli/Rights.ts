/**
 * The rights of the server's process: its user, and the removal of unneeded write rights.
 *
 * This is independent of the checks of statements and of DuckDB's own settings.
 */
import { accessSync, closeSync, constants, openSync } from "node:fs"
import { dirname, resolve } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { DuckDbError } from "../engine/duckdb/Failure.ts"
import * as Spill from "../engine/duckdb/Spill.ts"
import * as TableFile from "../engine/duckdb/TableFile.ts"
import * as CLibrary from "../process/CLibrary.ts"
import * as Landlock from "./Landlock.ts"
import type { ServeConfig } from "./ServeConfig.ts"
import * as User from "./User.ts"

/**
 * Gives up the rights that the server does not need, permanently. Returns the private spill directory, which
 * is deleted with the scope.
 *
 * Must come before the first use of libuv's threads; see {@link Landlock.restrict}.
 */
export const drop = Effect.fnUntraced(function* (
  config: ServeConfig
): Effect.fn.Return<string, User.RightsError | DuckDbError, Scope.Scope> {
  yield* User.leaveRoot(config, atStake(config))
  if (config.landlock === "require" && config.allowExternalAccess) {
    return yield* new User.RightsError({
      setting: "landlock",
      problem: "require cannot be had with allowExternalAccess, which lets queries write any file"
    })
  }
  const privateDirectory = yield* Spill.make(config.spillDirectory)
  yield* Spill.kept(privateDirectory)
  yield* locked(privateDirectory)
  if (config.landlock === "off" || config.allowExternalAccess) return privateDirectory
  const problem = yield* Landlock.restrict({
    privateDirectory,
    // DuckDB creates other files beside the database that it changes.
    writable: config.readWrite && config.database !== undefined ? [dirname(resolve(config.database))] : [],
    emptied: [dirname(privateDirectory)],
    sockets: [...config.listen, ...config.http].flatMap(socketDirectory)
  })
  if (problem === undefined) return privateDirectory
  if (config.landlock === "require") return yield* new User.RightsError({ setting: "landlock", problem })
  const writable = filesServed(config).filter(isWritable)
  if (writable.length > 0) {
    yield* Effect.logWarning(
      `Nothing but the check of statements keeps queries from writing to ${writable.join(", ")}: this process ` +
        `may, and Landlock cannot be used (${problem}). Take its right to write away, or serve as another user`
    )
  }
  return privateDirectory
})

/**
 * Locks a directory for the scope. Cleaners of temporary files, such as systemd-tmpfiles, skip locked
 * directories. The process could not make it again after giving up its rights.
 */
const locked = (directory: string): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(
    Effect.acquireRelease(
      Effect.sync(() => {
        const descriptor = openSync(directory, "r")
        CLibrary.lock(descriptor)
        return descriptor
      }),
      (descriptor) => Effect.sync(() => closeSync(descriptor))
    )
  )

/**
 * The reason why a fault of the server with root's rights would be dangerous, in words; `undefined`
 * if there is none.
 */
const atStake = ({
  allowExternalAccess,
  database,
  http,
  listen,
  readWrite,
  tables
}: ServeConfig): string | undefined => {
  if (database !== undefined || Object.keys(tables).length > 0) return "serves files"
  if (readWrite) return "lets clients write"
  if (allowExternalAccess) return "lets clients reach files"
  return User.beyond([...listen, ...http])
}

const socketDirectory = (text: string): ReadonlyArray<string> => {
  const address = User.addressOf(text)
  return address._tag === "Unix" ? [dirname(resolve(address.path))] : []
}

/** The files that are served read-only; a pattern counts as its directory, and as a file of this name. */
const filesServed = ({ database, readWrite, tables }: ServeConfig): ReadonlyArray<string> =>
  [
    ...(database === undefined || readWrite ? [] : [database]),
    ...Object.values(tables).map(TableFile.pathOf)
  ].flatMap((path) => (TableFile.isPattern(path) ? [dirname(path.replace(/[*?[].*/s, "x")), path] : [path]))

const isWritable = (path: string): boolean => {
  try {
    accessSync(path, constants.W_OK)
    return true
  } catch {
    return false
  }
}
