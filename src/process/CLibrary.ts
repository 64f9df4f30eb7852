/**
 * Calls of the C library, through Node 26's FFI.
 */
import type * as Ffi from "node:ffi"
import { endianness } from "node:os"

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

/**
 * Sends a text as one datagram to a Unix socket, which Node cannot. A name that begins with `@` is an abstract
 * one. Returns whether it was sent, or `undefined` where this cannot be done.
 */
export const sendDatagram = (path: string, text: string): boolean | undefined => {
  if (process.platform !== "linux") return undefined
  try {
    const library = ffi()
    const functions = library?.dlopen(null, {
      socket: { arguments: ["i32", "i32", "i32"], return: "i32" },
      sendto: { arguments: ["i32", "u64", "u64", "i32", "u64", "u32"], return: "i64" },
      close: { arguments: ["i32"], return: "i32" }
    }).functions
    if (library === undefined || functions === undefined) return undefined
    const message = bytesOf(text)
    const address = bytesOf(`${family}${path.replace(/^@/, "\0")}${path.startsWith("@") ? "" : "\0"}`)
    const socket = functions.socket(unixFamily, datagram, 0)
    if (socket < 0) return false
    const sent = functions.sendto(
      socket,
      library.getRawPointer(message),
      BigInt(message.length),
      noSignal,
      library.getRawPointer(address),
      address.length
    )
    functions.close(socket)
    return sent === BigInt(message.length)
  } catch {
    return false
  }
}

const unixFamily = 1
/** The first two bytes of an address, in the order of the machine. */
const family = endianness() === "LE" ? "\u0001\0" : "\0\u0001"
/** Closed in child processes. */
const datagram = 2 | 0o2000000
const noSignal = 0x4000

/** In memory of its own, whose address is the first byte's. */
const bytesOf = (text: string): Buffer => {
  const bytes = Buffer.alloc(Buffer.byteLength(text))
  bytes.write(text)
  return bytes
}
