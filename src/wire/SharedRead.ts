/**
 * Reading into one piece of memory that all accepted sockets of a thread share.
 *
 * Left to itself Node takes 64 KiB for each read, however much arrives. A socket that is dialled can be given a
 * buffer instead (`onread`), one that a server has accepted cannot: what the option would set is set here, by the
 * names that those fields have in Node. Where they are not as expected nothing is shared.
 */
import * as Net from "node:net"

/** As much as one read brings at most. */
const memory = new Uint8Array(256 * 1024)

interface Fields {
  readonly buffer: symbol
  readonly callback: symbol
}

const field = (name: string): symbol | undefined =>
  Object.getOwnPropertySymbols(new Net.Socket()).find(({ description }) => description === name)

const fields = ((): Fields | undefined => {
  const buffer = field("kBuffer")
  const callback = field("kBufferCb")
  return buffer === undefined || callback === undefined ? undefined : { buffer, callback }
})()

interface Handle {
  readonly useUserBuffer?: (buffer: Uint8Array) => void
}

type Internals = Record<symbol, unknown> & { readonly _handle?: Handle | null }

const internalsOf = (socket: Net.Socket) => socket as unknown as Internals

/** Whether a socket can read into the shared memory. */
export const applies = (socket: Net.Socket): boolean => {
  const internals = internalsOf(socket)
  return (
    fields !== undefined &&
    // What inherits from it reads in its own way, and a buffer that is there is its owner's.
    Object.getPrototypeOf(socket) === Net.Socket.prototype &&
    internals[fields.buffer] === null &&
    typeof internals._handle?.useUserBuffer === "function"
  )
}

/**
 * Has a socket to which that applies read into the shared memory from now on. `received` is called with how much a
 * read has brought, takes that before the next read of any socket, and returns whether to read on. What has been
 * read before still comes as data.
 */
export const start = (socket: Net.Socket, received: (length: number) => boolean): void => {
  const internals = internalsOf(socket)
  if (fields === undefined) return
  internals[fields.buffer] = memory
  internals[fields.callback] = received
  internals._handle?.useUserBuffer?.(memory)
}

/** What a read has brought. */
export const taken = (length: number): Uint8Array => new Uint8Array(memory.buffer, 0, length)
