/**
 * The private members of Node's sockets that are used, all of them. Where Node has them not, or has changed them, each
 * function takes the public way instead.
 */
import type * as Http from "node:http"
import * as Net from "node:net"
import type { Duplex } from "node:stream"
import type { NonEmptyReadonlyArray } from "effect/Array"

type Written = (error?: Error | null) => void

/** Buffers in the form in which a socket takes several at once. */
type Entries = Array<{ chunk: Uint8Array; encoding: BufferEncoding }> & { allBuffers?: boolean }

interface Handle {
  readonly writeQueueSize?: number
  readonly useUserBuffer?: (buffer: Uint8Array) => void
}

type Internals = Record<symbol, unknown> & {
  readonly _handle?: Handle | null
  readonly _write?: (chunk: Uint8Array, encoding: BufferEncoding, written: Written) => void
  readonly _writev?: (entries: Entries, written: Written) => void
}

const internalsOf = (socket: Net.Socket) => socket as unknown as Internals

/** The encoding of bytes. */
const bytes = "buffer" as BufferEncoding

const entriesOf = (parts: ReadonlyArray<Uint8Array>): Entries => {
  const entries: Entries = parts.map((chunk) => ({ chunk, encoding: bytes }))
  entries.allBuffers = true
  return entries
}

/**
 * Writes parts one behind the other, with `writev`, and without the queue of the stream: one write is under way at a
 * time, and `written` is called before this returns when the kernel has taken all of it. Through the
 * stream that is known a tick of the process later. Small queries on 64 connections took 15.3 µs of CPU this way and
 * 15.0 through the stream (medians of three turns of 96,000): no gain was shown there.
 */
export const write = (
  socket: Net.Socket,
  parts: NonEmptyReadonlyArray<Uint8Array>,
  written: Written
): void => {
  const { _write, _writev } = internalsOf(socket)
  if (typeof _write !== "function" || typeof _writev !== "function") {
    writePublicly(socket, parts, written)
  } else if (parts.length === 1) {
    _write.call(socket, parts[0], bytes, written)
  } else {
    _writev.call(socket, entriesOf(parts), written)
  }
}

/** The same through the stream. */
export const writePublicly = (
  socket: Net.Socket,
  parts: NonEmptyReadonlyArray<Uint8Array>,
  written: Written
): void => {
  const last = parts.length - 1
  socket.cork()
  parts.forEach((part, index) => {
    if (index === last) socket.write(part, written)
    else socket.write(part)
  })
  socket.uncork()
}

/** How many bytes of the writes under way the kernel has not taken; Node's own timeouts look at the same number. */
export const unsent = (socket: Net.Socket): number =>
  internalsOf(socket)._handle?.writeQueueSize ?? socket.writableLength

/** The memory that all accepted sockets of the thread read into: one read brings at most this many bytes. */
const shared = new Uint8Array(256 * 1024)

interface Fields {
  readonly buffer: symbol
  readonly callback: symbol
  readonly next: symbol
}

const field = (name: string): symbol | undefined =>
  Object.getOwnPropertySymbols(new Net.Socket()).find(({ description }) => description === name)

/** A dialled socket can be given a buffer to read into (`onread`), an accepted one only by these names. */
const fields = ((): Fields | undefined => {
  const buffer = field("kBuffer")
  const callback = field("kBufferCb")
  const next = field("kBufferGen")
  return buffer === undefined || callback === undefined || next === undefined
    ? undefined
    : { buffer, callback, next }
})()

/**
 * Has a socket read into memory that the thread shares, and calls `received` on the socket for each read, whose bytes
 * are the {@link sharedBytes} until it returns. Returns whether that is possible: otherwise the socket emits `data`. Left to itself Node
 * allocates 64 KiB for each read of each socket: small queries on 64 connections then took 19.8 µs of CPU to 15.3
 * (medians of three turns of 96,000).
 */
export const readIntoShared = (
  socket: Net.Socket,
  received: (this: Net.Socket, length: number) => void
): boolean => give(socket, shared, received)

/** The bytes of the read that is being received. */
export const sharedBytes = (length: number): Uint8Array => new Uint8Array(shared.buffer, 0, length)

/** The memory that a socket reads into: where the next read goes, and how long the one before it was. */
export interface Memory {
  readonly room: () => Uint8Array
  readonly taken: (length: number) => void
}

/**
 * Has a socket that was not dialled, such as a pipe to another process, read into memory that is given for each read, as
 * `onread` does. Returns whether that is possible: otherwise the socket emits `data`.
 */
export const readInto = (socket: Net.Socket, { room, taken }: Memory): boolean =>
  give(socket, room(), taken, room)

const give = (
  socket: Net.Socket,
  buffer: Uint8Array,
  taken: (this: Net.Socket, length: number) => void,
  next?: Memory["room"]
): boolean => {
  const internals = internalsOf(socket)
  if (fields === undefined) return false
  // A subclass reads in its own way, and a buffer that is there has an owner.
  if (Object.getPrototypeOf(socket) !== Net.Socket.prototype || internals[fields.buffer] !== null)
    return false
  const { _handle } = internals
  if (typeof _handle?.useUserBuffer !== "function") return false
  internals[fields.buffer] = buffer
  // Node calls it as a method of the socket, and reads on unless it returns false.
  internals[fields.callback] = taken
  if (next !== undefined) internals[fields.next] = next
  _handle.useUserBuffer(buffer)
  return true
}

/** What Node's HTTP server keeps with a socket. */
interface HttpConnection extends Duplex {
  readonly _httpMessage?: Http.ServerResponse | null
  readonly parser?: { readonly incoming?: Http.IncomingMessage | null } | null
}

/**
 * The response whose turn it is on a connection of an HTTP server, if one is under way. Noting it for each request would
 * take a listener of each. Where Node does not say, none is.
 */
export const currentResponse = (socket: Duplex): Http.ServerResponse | undefined =>
  (socket as HttpConnection)._httpMessage ?? undefined

/** Whether a request is being read on a connection of an HTTP server, and is not whole. Where Node does not say, none is. */
export const isWithinRequest = (socket: Duplex): boolean =>
  (socket as HttpConnection).parser?.incoming?.complete === false
