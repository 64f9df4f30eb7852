/**
 * The transport over a connected socket of `node:net`: a chunk is handed over as it arrives, and a write that the
 * kernel takes whole is over at once.
 */
import * as Net from "node:net"
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Socket from "effect/socket/Socket"
import type * as Address from "./Address.ts"
import { ReadMemory } from "./ReadMemory.ts"
import * as SharedRead from "./SharedRead.ts"
import type * as Transport from "./Transport.ts"

const failed = (reason: Socket.SocketError["reason"]) => new Socket.SocketError({ reason })
const closed = (code: number) => failed(new Socket.SocketCloseError({ code }))
/** How every connection ends that ends well. */
const endOfFile = closed(1000)
const notWritable = (cause: unknown) => failed(new Socket.SocketWriteError({ cause }))

/** How many bytes are read ahead of a receiver that pauses, besides what Node itself buffers. */
const readAheadSize = 256 * 1024

/** What a stream may lack and a socket has. */
type Gathering = Net.Socket & Required<Pick<Net.Socket, "_writev">>

/** The encoding of what is no string. */
const asTheyAre = "buffer" as BufferEncoding

/** Buffers in the form in which a socket takes several at once. */
type Entries = Array<{ chunk: Uint8Array; encoding: BufferEncoding }> & { allBuffers?: boolean }

const entries = (parts: Transport.Chunks): Entries => {
  const entries: Entries = parts.map((chunk) => ({ chunk, encoding: asTheyAre }))
  entries.allBuffers = true
  return entries
}

/** The transport of a socket that is connected, paused, and not written to by anybody else. */
class NetTransport implements Transport.Transport {
  // A write is over when the kernel has taken all of it.
  readonly copies = true
  readonly lends: boolean
  private readonly socket: Gathering
  private readonly memory: ReadMemory | undefined
  private receiver: Transport.Receiver | undefined
  private held: Array<Uint8Array> = []
  private heldBytes = 0
  private paused = false
  private end: Socket.SocketError | undefined
  /** How the last write went, if it is over. */
  private over: Exit.Exit<void, Socket.SocketError> | undefined
  private written: Written | undefined

  constructor(socket: Net.Socket, memory?: ReadMemory) {
    this.socket = socket as Gathering
    this.memory = memory
    this.lends = SharedRead.applies(socket)
    socket.on("data", this.onData)
    // That somebody listens for data does not make it flow before it is asked for.
    socket.pause()
    socket.on("end", this.onEnd)
    socket.on("error", this.onError)
    socket.on("close", this.onClose)
  }

  read(receiver: Transport.Receiver): void {
    this.receiver = receiver
    if (this.lends) SharedRead.start(this.socket, this.onLent)
    this.socket.resume()
  }

  reuse(on: boolean): void {
    if (this.memory === undefined) return
    this.memory.reused = on
    if (this.paused) this.pause()
  }

  pause(): void {
    this.paused = true
    // What is read ahead would overwrite what the receiver has not done with.
    if (this.memory?.reused === true) this.socket.pause()
  }

  resume(): void {
    this.paused = false
    this.hand()
    // What was handed over may have paused it again.
    if (!this.paused && this.socket.isPaused()) this.socket.resume()
  }

  /** Gives the receiver what was read ahead, and then the end if it has come. */
  private hand(): void {
    const { held } = this
    if (held.length > 0) {
      this.held = []
      this.heldBytes = 0
      this.receiver?.received(held as unknown as Transport.Chunks)
    }
    if (this.paused || this.end === undefined) return
    const { receiver } = this
    this.receiver = undefined
    receiver?.ended(Cause.fail(this.end))
  }

  private readonly onLent = (length: number): boolean => {
    const chunk = SharedRead.taken(length)
    this.onData(this.paused ? chunk.slice() : chunk)
    return true
  }

  private readonly onData = (chunk: Uint8Array): void => {
    if (!this.paused) {
      this.receiver?.received([chunk])
      return
    }
    this.held.push(chunk)
    this.heldBytes += chunk.length
    if (this.heldBytes >= readAheadSize) this.socket.pause()
  }

  /** The peer sends nothing more; what has arrived is still handed over. */
  private readonly onEnd = (): void => this.finish(endOfFile)

  private readonly onError = (cause: Error): void => {
    this.held = []
    this.finish(failed(new Socket.SocketReadError({ cause })))
  }

  private readonly onClose = (): void => {
    // Without an end or an error before it.
    this.finish(this.end ?? closed(1006))
    if (this.written !== undefined) this.settle(Exit.fail(notWritable(socketClosed())))
  }

  private finish(end: Socket.SocketError): void {
    this.end ??= end
    if (!this.paused) this.hand()
  }

  write(parts: Transport.Chunks, written: Written): Exit.Exit<void, Socket.SocketError> | undefined {
    const { socket } = this
    this.over = undefined
    // The socket's own writes, without the stream's queue before them: one write is under way at a time, and
    // these tell at once when the kernel has taken all of it.
    if (parts.length === 1) socket._write(parts[0], asTheyAre, this.onWritten)
    else socket._writev(entries(parts), this.onWritten)
    if (this.over === undefined) this.written = written
    return this.over
  }

  private readonly onWritten = (error?: Error | null): void => {
    if (error) this.socket.destroy(error)
    this.settle(error ? Exit.fail(notWritable(error)) : Exit.void)
  }

  private settle(exit: Exit.Exit<void, Socket.SocketError>): void {
    const { written } = this
    this.over = exit
    this.written = undefined
    written?.(exit)
  }

  destroy(): void {
    this.socket.destroy()
  }

  /** What the kernel has not taken of the writes under way; Node's own timeouts look at the same number. */
  unsent(): number {
    const handle = (this.socket as { _handle?: { writeQueueSize?: number } })._handle
    return handle?.writeQueueSize ?? 0
  }

  /** Reads no more, and closes after what was written. */
  close(): void {
    const { socket } = this
    this.receiver = undefined
    this.written = undefined
    this.held = []
    socket.off("data", this.onData)
    socket.off("end", this.onEnd)
    socket.off("error", this.onError)
    socket.off("close", this.onClose)
    socket.destroySoon()
  }
}

type Written = (exit: Exit.Exit<void, Socket.SocketError>) => void

const socketClosed = () => new Error("socket closed")

const open = (socket: Net.Socket, memory?: ReadMemory): Transport.Open =>
  Effect.acquireRelease(
    Effect.sync(() => new NetTransport(socket, memory)),
    (transport) => Effect.sync(() => transport.close())
  )

/** The transport of a connected socket. */
export const make = (socket: Net.Socket): Transport.Open => open(socket)

export interface ConnectOptions {
  readonly address: Address.Address
  /** How long connecting may take. */
  readonly timeout: Duration.Input
}

/** Connects. The scope owns the connection. */
export const connect = (options: ConnectOptions): Transport.Open =>
  Effect.acquireRelease(
    Effect.sync(() => dial(options.address)),
    ({ socket }) => Effect.sync(() => (socket.connecting ? socket.destroy() : socket.destroySoon()))
  ).pipe(
    Effect.tap(({ socket }) =>
      Effect.timeoutOrElse(connected(socket), {
        duration: options.timeout,
        orElse: () => Effect.fail(notOpen("Timeout", new Error("Connection timed out")))
      })
    ),
    Effect.flatMap(({ memory, socket }) => open(socket, memory))
  )

const dial = (address: Address.Address) => {
  const memory = new ReadMemory()
  const socket = Net.connect({
    ...(address._tag === "Unix" ? { path: address.path } : { host: address.host, port: address.port }),
    // A cancel or a small request must not wait for the peer to acknowledge what was sent before.
    noDelay: true,
    keepAlive: true,
    onread: {
      buffer: memory.room,
      callback: (length) => {
        socket.emit("data", memory.take(length))
        return true
      }
    }
  })
  socket.pause()
  return { memory, socket }
}

const connected = (socket: Net.Socket): Effect.Effect<void, Socket.SocketError> =>
  Effect.callback((resume) => {
    socket.once("connect", () => resume(Effect.void))
    // It stays: an error that comes when nobody reads any more is nobody's.
    socket.on("error", (cause) => resume(Effect.fail(notOpen("Unknown", cause))))
  })

const notOpen = (kind: "Timeout" | "Unknown", cause: unknown) =>
  failed(new Socket.SocketOpenError({ kind, cause }))
