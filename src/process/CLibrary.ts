/**
 * Calls of the C library, through Node 26's FFI.
 */
import type * as Ffi from "node:ffi"

/** Loads without Node's warnings that experimental APIs may change, which go to standard error. */
const quietly = <A>(load: () => A): A => {
  const { emitWarning } = process
  process.emitWarning = () => {}
  try {
    return load()
  } finally {
    process.emitWarning = emitWarning
  }
}

/** Node's FFI module, if it has one. */
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
 * The allocator's function that returns free memory to the system (`malloc_trim`), if the C library has one.
 * It takes 0.1 to 0.2 ms for each MiB returned.
 */
export const trim = (): (() => void) | undefined => {
  if (process.platform !== "linux") return undefined
  try {
    const functions = ffi()?.dlopen(null, { malloc_trim: { arguments: ["u64"], return: "i32" } }).functions
    return functions && (() => void functions.malloc_trim(0n))
  } catch {
    // Not every C library has `malloc_trim`.
    return undefined
  }
}

/** Takes a shared lock on an open file or directory until it is closed. Returns whether it is locked. */
export const lock = (descriptor: number): boolean => {
  try {
    const functions = ffi()?.dlopen(null, { flock: { arguments: ["i32", "i32"], return: "i32" } }).functions
    return functions?.flock(descriptor, lockShared) === 0
  } catch {
    return false
  }
}

const lockShared = 1
