/**
 * Gives up this process's rights to write files and to open connections, by Linux's Landlock.
 *
 * The kernel then refuses them to every part of the process, including DuckDB under the control of a query.
 * It needs no privilege, holds for root too, and is irrevocable.
 */
import { closeSync, openSync } from "node:fs"
import { symlink, unlink } from "node:fs/promises"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as CLibrary from "../process/CLibrary.ts"

/** The remaining rights of the process. Reading stays unrestricted. */
export interface Access {
  /** A directory for its own files, in which everything is allowed. */
  readonly privateDirectory: string
  /** Other directories in which files may be created, written and removed. */
  readonly writable: ReadonlyArray<string>
  /** Directories from which empty directories may be removed. */
  readonly emptied: ReadonlyArray<string>
  /** Directories in which Unix sockets are created, moved and removed. */
  readonly sockets: ReadonlyArray<string>
}

/**
 * Restricts the process. Returns the reason if that failed, or `undefined`.
 *
 * **Gotchas**
 *
 * A new thread inherits the rights of the thread that starts it. So this must come before the first use of
 * libuv's threads, which includes all asynchronous access to files. One of these threads checks that.
 */
export const restrict = Effect.fnUntraced(function* (access: Access): Effect.fn.Return<string | undefined> {
  const problem = restrictThread(access)
  if (problem !== undefined) return problem
  return (yield* holds(access.privateDirectory)) ? undefined : "libuv's threads were started before"
})

/** Creating symbolic links is forbidden everywhere, so one serves as a probe. */
const holds = (directory: string): Effect.Effect<boolean> =>
  Effect.promise(async () => {
    const probe = join(directory, "probe")
    try {
      await symlink("probe", probe)
    } catch (cause) {
      return (cause as NodeJS.ErrnoException).code === "EACCES"
    }
    await unlink(probe)
    return false
  })

// From linux/landlock.h, by the version of the interface that introduced them.
const writeFile = 1n << 1n
const removeDirectory = 1n << 4n
const removeFile = 1n << 5n
const makeDirectory = 1n << 7n
const makeFile = 1n << 8n
/** Links and moves between directories, which are refused wherever this right is not granted. */
const refer = 1n << 13n
const truncate = 1n << 14n
const rights: ReadonlyArray<readonly [version: bigint, rights: bigint]> = [
  // Sockets are excluded: they are created where the server listens.
  [1n, writeFile | removeDirectory | removeFile | makeDirectory | makeFile],
  // Devices, pipes, block devices and symbolic links, which the process never creates.
  [1n, (1n << 6n) | (1n << 10n) | (1n << 11n) | (1n << 12n)],
  [2n, refer],
  [3n, truncate]
]

const connectTcp = 1n << 1n

const restrictThread = ({ emptied, privateDirectory, sockets, writable }: Access): string | undefined => {
  const system = native()
  if (typeof system === "string") return system
  const version = system.landlock(createRuleset, 0n, 0n, 1n)
  if (version < 1n) return "this kernel has no Landlock"
  const handled = rights.reduce((sum, [since, right]) => (version >= since ? sum | right : sum), 0n)
  const ruleset = system.landlock(
    createRuleset,
    system.pointer([handled, version >= 4n ? connectTcp : 0n]),
    version >= 4n ? 16n : 8n,
    0n
  )
  if (ruleset < 0n) return "this system does not let the process use Landlock"
  const write = writeFile | truncate | makeFile | removeFile
  const rules: ReadonlyArray<readonly [path: string, right: bigint]> = [
    [privateDirectory, write | makeDirectory | removeDirectory],
    ...writable.map((path) => [path, write] as const),
    ...emptied.map((path) => [path, removeDirectory] as const),
    ...sockets.map((path) => [path, makeDirectory | removeDirectory | removeFile | refer] as const)
  ]
  const added = rules.every(([path, right]) => addRule(system, ruleset, path, right & handled))
  const done = added && system.noNewPrivileges() && system.landlock(restrictSelf, ruleset, 0n, 0n) === 0n
  closeSync(Number(ruleset))
  return done ? undefined : "Landlock refused the rules"
}

// The system calls, which have the same numbers on every architecture.
const createRuleset = 444n
const addRuleCall = 445n
const restrictSelf = 446n

/** The rule covers everything beneath a path. */
const pathBeneath = 1n

const openPath = 0o10000000

const addRule = (system: Native, ruleset: bigint, path: string, right: bigint): boolean => {
  let descriptor: number
  try {
    descriptor = openSync(path, openPath)
  } catch {
    // The path does not exist, so there is no right to grant. Its user reports the error.
    return true
  }
  try {
    // A packed struct: the descriptor has the four bytes after the rights.
    return (
      system.landlock(addRuleCall, ruleset, pathBeneath, system.pointer([right, BigInt(descriptor)])) === 0n
    )
  } finally {
    closeSync(descriptor)
  }
}

interface Native {
  readonly landlock: (call: bigint, a: bigint, b: bigint, c: bigint) => bigint
  readonly noNewPrivileges: () => boolean
  /** The address of a struct of 64-bit numbers, which is kept alive. */
  readonly pointer: (members: ReadonlyArray<bigint>) => bigint
}

/** The C library, or the reason why it cannot be called. */
const native = (): Native | string => {
  if (process.platform !== "linux") return "only Linux has it"
  const ffi = CLibrary.ffi()
  if (ffi === undefined) return `Node ${process.versions.node} cannot call it; 26 can`
  try {
    const { functions } = ffi.dlopen(null, {
      syscall: { arguments: ["i64", "i64", "i64", "i64", "i64"], return: "i64" },
      prctl: { arguments: ["i64", "i64", "i64", "i64", "i64"], return: "i32" }
    })
    const kept: Array<Buffer> = []
    return {
      landlock: (call, a, b, c) => functions.syscall(call, a, b, c, 0n),
      noNewPrivileges: () => functions.prctl(38n, 1n, 0n, 0n, 0n) === 0,
      pointer: (members) => {
        const struct = Buffer.alloc(members.length * 8)
        for (const [index, member] of members.entries()) struct.writeBigUInt64LE(member, index * 8)
        kept.push(struct)
        return ffi.getRawPointer(struct)
      }
    }
  } catch (cause) {
    return `the C library cannot be called: ${String(cause)}`
  }
}
