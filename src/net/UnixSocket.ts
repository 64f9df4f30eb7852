/**
 * Ownership of the path of a Unix socket: a server takes the path only when no other server has it, and
 * removes only its own socket.
 *
 * **Details**
 *
 * A server binds and listens in a folder that only its user may enter, sets the permissions there, and then
 * links the socket to its path. The link is one step and fails if the path exists. No client ever finds the
 * path with other permissions or without a listener. The socket of a killed server is moved into such a
 * folder before it is deleted, and moved back if another server has taken the path in the meantime.
 *
 * All of it is synchronous, so that nothing in this process runs between the steps.
 */
import { Buffer } from "node:buffer"
import * as NodeFs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import * as Effect from "effect/Effect"

/** The identity of a file in the system, independent of its name. */
export type Identity = Pick<NodeFs.BigIntStats, "dev" | "ino" | "birthtimeNs">

const codeOf = (error: unknown): unknown => (error as NodeJS.ErrnoException).code

const inUse = (path: string): Error =>
  Object.assign(new Error(`EADDRINUSE: address already in use ${path}`), { code: "EADDRINUSE" })

const identify = (path: string): NodeFs.BigIntStats | undefined =>
  NodeFs.lstatSync(path, { bigint: true, throwIfNoEntry: false })

const isSame = (a: Identity, b: Identity | undefined): boolean =>
  b !== undefined && a.dev === b.dev && a.ino === b.ino && a.birthtimeNs === b.birthtimeNs

/** A folder beside the path that only this user may enter. */
const privateFolder = (path: string): string => NodeFs.mkdtempSync(`${Path.dirname(path)}/.`)

const remove = (folder: string): void => NodeFs.rmSync(folder, { recursive: true, force: true })

/** A socket that no client can reach yet. */
export interface Staged {
  readonly folder: string
  /** The path to bind and listen at. */
  readonly path: string
}

// The system's maximum length of a path, less its terminator and the name of the staged socket.
const maxFolderBytes = 97

/** A place to bind a socket that is to be published at the path. Throws the system's errors. */
export const stage = (path: string): Staged => {
  const length = Buffer.byteLength(Path.dirname(path))
  if (length > maxFolderBytes) {
    throw new Error(`the folder of a Unix socket may have a path of ${maxFolderBytes} bytes, not ${length}`)
  }
  const folder = privateFolder(path)
  return { folder, path: `${folder}/s` }
}

/** Deletes the staged socket. A published socket stays. */
export const discard = (staged: Staged): void => remove(staged.folder)

/**
 * Publishes a staged socket, which listens, at the path. Fails with `EADDRINUSE` if the path holds anything
 * but an abandoned socket.
 */
export const publish = (staged: Staged, path: string, mode?: number): Effect.Effect<Identity, Error> =>
  Effect.gen(function* () {
    if (mode !== undefined) NodeFs.chmodSync(staged.path, mode)
    // More than one round happens only if other servers start and stop at the same path meanwhile.
    for (let round = 0; round < 5; round++) {
      if (link(staged.path, path)) return NodeFs.lstatSync(staged.path, { bigint: true })
      const seen = identify(path)
      if (seen === undefined) continue
      if (!seen.isSocket() || !(yield* isLeftBehind(path, seen))) break
      withdraw(path, seen)
    }
    return yield* Effect.fail(inUse(path))
  }).pipe(Effect.catchDefect((cause) => Effect.fail(cause as Error)))

/** Gives a file a second name. False if that name exists. */
const link = (from: string, to: string): boolean => {
  try {
    NodeFs.linkSync(from, to)
    return true
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false
    throw error
  }
}

/**
 * Deletes the socket at the path if it is this one. An open socket's identity is unique, so a server
 * withdraws its socket before it closes it.
 */
export const withdraw = (path: string, own: Identity): void => {
  if (!isSame(own, identify(path))) return
  const folder = privateFolder(path)
  const aside = `${folder}/s`
  try {
    NodeFs.renameSync(path, aside)
    if (!isSame(own, identify(aside))) link(aside, path)
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error
  } finally {
    remove(folder)
  }
}

/** Whether the socket at the path is abandoned: no process has it any more. */
const isLeftBehind = (path: string, seen: Identity): Effect.Effect<boolean> =>
  Effect.map(refusesConnections(path), (refuses) => refuses && !isBound(path, seen))

/** The socket of a server that is only busy refuses differently. */
const refusesConnections = (path: string): Effect.Effect<boolean> =>
  Effect.callback<boolean>((resume) => {
    const probe = Net.connect({ path })
    probe.once("connect", () => {
      probe.destroy()
      resume(Effect.succeed(false))
    })
    probe.once("error", (error) => resume(Effect.succeed(codeOf(error) === "ECONNREFUSED")))
    return Effect.sync(() => probe.destroy())
  })

const procNetUnix = "/proc/net/unix"

/** Names of stream sockets that have been bound and not connected, in the text of `/proc/net/unix`. */
export const boundNames = (text: string): ReadonlyArray<string> =>
  [...text.matchAll(/^\w+: \w+ \w+ \w+ 0001 01 +\d+ (.+)$/gm)].map(([, name = ""]) => name)

/**
 * Whether a process has bound the socket but does not listen yet, or no longer. Such a socket refuses
 * connections like an abandoned one. False where the system does not list its sockets.
 */
const isBound = (path: string, seen: Identity): boolean => {
  if (!NodeFs.existsSync(procNetUnix)) return false
  const candidates = boundNames(NodeFs.readFileSync(procNetUnix, "utf8")).filter(
    (name) => Path.basename(name) === Path.basename(path)
  )
  // The system keeps the name as it was given: the base of a relative one is unknown.
  return candidates.some((name) => !name.startsWith("/") || isSame(seen, identify(name)))
}
