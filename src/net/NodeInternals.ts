/**
 * All private members of Node's sockets that are used. Where Node lacks them or has changed them, each
 * function falls back to the public API.
 */
import type * as Http from "node:http"
import * as Net from "node:net"
import type { Duplex } from "node:stream"
import type { NonEmptyReadonlyArray } from "effect/Array"

type Written = (error?: Error | null) => void

/** Buffers in the form that a socket needs for a gather write. */
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
 * Writes parts in order with `writev`, bypassing the stream's queue: one write is under way at a time, and
 * `written` is called before this returns if the kernel has taken all of it. The stream reports that a tick
 * of the process later. Small queries on 64 connections took 15.3 µs of CPU this way and 15.0 through the
 * stream (medians of three turns of 96,000): no gain was shown there.
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

/**
 * The number of bytes of pending writes that the kernel has not taken. Node's own timeouts use the same
 * number.
 */
export const unsent = (socket: Net.Socket): number =>
  internalsOf(socket)._handle?.writeQueueSize ?? socket.writableLength

/** The read memory that all accepted sockets of the thread share: one read brings at most this many bytes. */
const shared = new Uint8Array(256 * 1024)

interface Fields {
  readonly buffer: symbol
  readonly callback: symbol
  readonly next: symbol
}

const field = (name: string): symbol | undefined =>
  Object.getOwnPropertySymbols(new Net.Socket()).find(({ description }) => description === name)

/** A dialled socket accepts a read buffer (`onread`); an accepted one takes it only through these members. */
const fields = ((): Fields | undefined => {
  const buffer = field("kBuffer")
  const callback = field("kBufferCb")
  const next = field("kBufferGen")
  return buffer === undefined || callback === undefined || next === undefined
    ? undefined
    : { buffer, callback, next }
})()

/**
 * Makes a socket read into memory that the thread shares. Each read calls `received` on the socket; its bytes
 * are the {@link sharedBytes} until it returns. Returns whether that is possible: otherwise the socket emits
 * `data`. By default Node allocates 64 KiB for each read of each socket: small queries on 64 connections then
 * took 19.8 µs of CPU to 15.3 (medians of three turns of 96,000).
 */
export const readIntoShared = (
  socket: Net.Socket,
  received: (this: Net.Socket, length: number) => void
): boolean => give(socket, shared, received)

/** The bytes of the current read. */
export const sharedBytes = (length: number): Uint8Array => new Uint8Array(shared.buffer, 0, length)

/**
 * The read memory of a socket: `room` is the target of the next read, `taken` reports the length of the last
 * one.
 */
export interface Memory {
  readonly room: () => Uint8Array
  readonly taken: (length: number) => void
}

/**
 * Makes a socket that was not dialled, such as a pipe to another process, read into memory that is given for
 * each read, as `onread` does. Returns whether that is possible: otherwise the socket emits `data`.
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
  // A subclass reads in its own way, and an existing buffer has an owner.
  if (Object.getPrototypeOf(socket) !== Net.Socket.prototype || internals[fields.buffer] !== null)
    return false
  const { _handle } = internals
  if (typeof _handle?.useUserBuffer !== "function") return false
  internals[fields.buffer] = buffer
  // Node calls this as a method of the socket, and goes on reading unless it returns false.
  internals[fields.callback] = taken
  if (next !== undefined) internals[fields.next] = next
  _handle.useUserBuffer(buffer)
  return true
}

/** The members that Node's HTTP server keeps on a socket. */
interface HttpConnection extends Duplex {
  readonly _httpMessage?: Http.ServerResponse | null
  readonly parser?: { readonly incoming?: Http.IncomingMessage | null } | null
}

/**
 * The response whose turn it is on a connection of an HTTP server, if one is under way. Recording it in
 * another way would take a listener for each request. `undefined` where Node does not provide it.
 */
export const currentResponse = (socket: Duplex): Http.ServerResponse | undefined =>
  (socket as HttpConnection)._httpMessage ?? undefined

/**
 * Whether a request is being read on a connection of an HTTP server and is incomplete. False where Node does
 * not provide it.
 */
export const isWithinRequest = (socket: Duplex): boolean =>
  (socket as HttpConnection).parser?.incoming?.complete === false
