/**
 * The C library, which Node 26 can call.
 */
import type * as Ffi from "node:ffi"

/** Node says of each use of its younger parts that they may change, on standard error. */
const quietly = <A>(load: () => A): A => {
  const { emitWarning } = process
  process.emitWarning = () => {}
  try {
    return load()
  } finally {
    process.emitWarning = emitWarning
  }
}

/** Node's means to call it, where it has them. */
export const ffi = (): typeof Ffi | undefined => quietly(() => process.getBuiltinModule("node:ffi"))

/** Has the kernel kill this process when its parent ends (`PR_SET_PDEATHSIG`). Returns whether it will. */
export const dieWithParent = (): boolean => {
  if (process.platform !== "linux") return false
  try {
    const functions = ffi()?.dlopen(null, {
      prctl: { arguments: ["i64", "i64", "i64", "i64", "i64"], return: "i32" }
    }).functions
    return functions?.prctl(setParentDeathSignal, killSignal, 0n, 0n, 0n) === 0
  } catch {
    return false
  }
}

const setParentDeathSignal = 1n
const killSignal = 9n

/**
 * What has the allocator give its free memory back to the system (`malloc_trim`), where there is such a thing. It takes
 * 0.1 to 0.2 ms for each MiB that it gives back.
 */
export const trim = (): (() => void) | undefined => {
  if (process.platform !== "linux") return undefined
  try {
    const functions = ffi()?.dlopen(null, { malloc_trim: { arguments: ["u64"], return: "i32" } }).functions
    return functions && (() => void functions.malloc_trim(0n))
  } catch {
    // Not every C library has it.
    return undefined
  }
}

/** Locks an open file or directory for as long as it is open, beside others that do the same. Returns whether it is locked. */
export const lock = (descriptor: number): boolean => {
  try {
    const functions = ffi()?.dlopen(null, { flock: { arguments: ["i32", "i32"], return: "i32" } }).functions
    return functions?.flock(descriptor, lockShared) === 0
  } catch {
    return false
  }
}

const lockShared = 1
