/**
 * Who has the path of a Unix socket: a server takes it only when no other has it, and gives up only its own.
 *
 * **Details**
 *
 * A server binds and listens in a folder that nobody else may enter, sets the permissions there, and then links the
 * socket to its path: that takes one step, fails if the path exists, and leaves no moment in which a client finds the
 * path with other permissions or without a listener. What a killed server left behind is moved into such a folder
 * before it is deleted, and moved back if another server has taken the path in the meantime.
 *
 * All of it is synchronous, so that nothing in this process comes between the steps.
 */
import { Buffer } from "node:buffer"
import * as NodeFs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import * as Effect from "effect/Effect"

/** A file as the system knows it, whatever its name. */
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

/** A socket that nobody can reach yet. */
export interface Staged {
  readonly folder: string
  /** Where to bind and listen. */
  readonly path: string
}

// What the system has for a path, less its terminator and the name of what is staged.
const maxFolderBytes = 97

/** A place to bind a socket that is to be published at the path. Throws what the system says. */
export const stage = (path: string): Staged => {
  const length = Buffer.byteLength(Path.dirname(path))
  if (length > maxFolderBytes) {
    throw new Error(`the folder of a Unix socket may have a path of ${maxFolderBytes} bytes, not ${length}`)
  }
  const folder = privateFolder(path)
  return { folder, path: `${folder}/s` }
}

/** Deletes what was staged. What has been published stays. */
export const discard = (staged: Staged): void => remove(staged.folder)

/**
 * Makes a staged socket, which listens, the one at the path. Fails with `EADDRINUSE` if something is there that is
 * not a socket left behind.
 */
export const publish = (staged: Staged, path: string, mode?: number): Effect.Effect<Identity, Error> =>
  Effect.gen(function* () {
    if (mode !== undefined) NodeFs.chmodSync(staged.path, mode)
    // More rounds than one only if other servers start and stop at the same path meanwhile.
    for (let round = 0; round < 5; round++) {
      if (link(staged.path, path)) return NodeFs.lstatSync(staged.path, { bigint: true })
      const seen = identify(path)
      if (seen === undefined) continue
      if (!seen.isSocket() || !(yield* isLeftBehind(path, seen))) break
      withdraw(path, seen)
    }
    return yield* Effect.fail(inUse(path))
  }).pipe(Effect.catchDefect((cause) => Effect.fail(cause as Error)))

/** Gives a file a second name. False if that exists. */
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
 * Deletes the socket at the path if it is this one. A socket that is still open keeps its identity to itself: its
 * server withdraws it before it closes it.
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

/** Whether no process has the socket at the path any more. */
const isLeftBehind = (path: string, seen: Identity): Effect.Effect<boolean> =>
  Effect.map(refusesConnections(path), (refuses) => refuses && !isBound(path, seen))

/** A socket whose server is only busy refuses in another way. */
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
 * Whether a process has the socket although it does not listen, yet or any more: it refuses connections like one that
 * was left behind. Where the system does not list its sockets, there is no telling.
 */
const isBound = (path: string, seen: Identity): boolean => {
  if (!NodeFs.existsSync(procNetUnix)) return false
  const candidates = boundNames(NodeFs.readFileSync(procNetUnix, "utf8")).filter(
    (name) => Path.basename(name) === Path.basename(path)
  )
  // A name is as it was given to the system: what a relative one is relative to is not known.
  return candidates.some((name) => !name.startsWith("/") || isSame(seen, identify(name)))
}
