/**
 * Transports over sockets of `node:net`, TCP and Unix. Chunks are passed on as they arrive, and a write that
 * the kernel takes whole completes at once.
 */
import * as Net from "node:net"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as Timers from "../loop/Timers.ts"
import * as Limit from "../settings/Limit.ts"
import * as Address from "./Address.ts"
import * as Chunk from "./Chunk.ts"
import * as NodeInternals from "./NodeInternals.ts"
import { ReadMemory } from "./ReadMemory.ts"
import type * as Transport from "./Transport.ts"

const failed = (reason: Socket.SocketError["reason"]) => new Socket.SocketError({ reason })
const closed = (code: number) => failed(new Socket.SocketCloseError({ code }))
/** The end of every connection that ends normally. */
const endOfFile = closed(1000)
const notWritable = (cause: unknown) => failed(new Socket.SocketWriteError({ cause }))

/** The number of bytes read ahead of a paused receiver, besides those that Node itself buffers. */
const readAheadSize = 256 * 1024

type Written = (exit: Exit.Exit<void, Socket.SocketError>) => void

/** The key of a socket's transport, so that all sockets share their listeners. */
const owner = Symbol("dataconn/net/Tcp")

interface TransportSocket extends Net.Socket {
  [owner]?: TcpTransport | undefined
}

function onData(this: TransportSocket, chunk: Uint8Array): void {
  this[owner]?.arrived(chunk)
}

/** The peer has ended its side; bytes that have arrived are still passed on. */
function onEnd(this: TransportSocket): void {
  this[owner]?.finish(endOfFile)
}

function onError(this: TransportSocket, cause: Error): void {
  this[owner]?.failed(cause)
}

function onClose(this: TransportSocket): void {
  this[owner]?.closed()
}

function onShared(this: TransportSocket, length: number): void {
  this[owner]?.arrived(Chunk.copied(NodeInternals.sharedBytes(length)))
}

/** Shared by the transports that have read nothing ahead, which are most of them. */
const nothing: Array<Uint8Array> = []

/** The transport of a socket that is connected and paused and has no other writer. */
class TcpTransport implements Transport.Transport {
  private readonly socket: TransportSocket
  private readonly linger: Duration.Input
  private receiver: Transport.Receiver | undefined
  private held = nothing
  private heldBytes = 0
  private paused = false
  private end: Socket.SocketError | undefined
  /** The outcome of the last write, if it has completed. */
  private outcome: Exit.Exit<void, Socket.SocketError> | undefined
  private written: Written | undefined

  constructor(socket: Net.Socket, linger: Duration.Input) {
    this.socket = socket
    this.linger = linger
    this.socket[owner] = this
    socket.on("data", onData)
    // The listener for data must not make the socket flow before `resume`.
    socket.pause()
    socket.on("end", onEnd)
    socket.on("error", onError)
    socket.on("close", onClose)
  }

  read(receiver: Transport.Receiver): void {
    this.receiver = receiver
    NodeInternals.readIntoShared(this.socket, onShared)
    this.socket.resume()
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
    this.hand()
    // The receiver may have paused the transport again.
    if (!this.paused && this.socket.isPaused()) this.socket.resume()
  }

  /** Gives the receiver the bytes that were read ahead, and then the end, if it has been reached. */
  private hand(): void {
    const { held } = this
    if (held.length > 0) {
      this.held = nothing
      this.heldBytes = 0
      this.receiver?.received(held as unknown as Transport.Chunks)
    }
    if (this.paused || this.end === undefined) return
    const { receiver } = this
    this.receiver = undefined
    receiver?.ended(Cause.fail(this.end))
  }

  arrived(chunk: Uint8Array): void {
    if (!this.paused) {
      this.receiver?.received([chunk])
      return
    }
    if (this.held === nothing) this.held = []
    this.held.push(chunk)
    this.heldBytes += chunk.length
    if (this.heldBytes >= readAheadSize) this.socket.pause()
  }

  failed(cause: Error): void {
    this.held = nothing
    this.finish(failed(new Socket.SocketReadError({ cause })))
  }

  closed(): void {
    // Without an end or an error before it.
    this.finish(this.end ?? closed(1006))
    if (this.written !== undefined) this.settle(Exit.fail(notWritable(socketClosed())))
  }

  finish(end: Socket.SocketError): void {
    this.end ??= end
    if (!this.paused) this.hand()
  }

  write(parts: Transport.Chunks, written: Written): Exit.Exit<void, Socket.SocketError> | undefined {
    this.outcome = undefined
    NodeInternals.write(this.socket, parts, this.onWritten)
    if (this.outcome === undefined) this.written = written
    return this.outcome
  }

  private readonly onWritten = (error?: Error | null): void => {
    if (error) this.socket.destroy(error)
    this.settle(error ? Exit.fail(notWritable(error)) : Exit.void)
  }

  private settle(exit: Exit.Exit<void, Socket.SocketError>): void {
    const { written } = this
    this.outcome = exit
    this.written = undefined
    written?.(exit)
  }

  destroy(): void {
    this.socket.destroy()
  }

  unsent(): number {
    return NodeInternals.unsent(this.socket)
  }

  /** When the scope closes, stops passing on bytes, and closes after pending writes. */
  closeWith(scope: Scope.Scope): Effect.Effect<void> {
    return Scope.addFinalizerExit(scope, () => this.close)
  }

  private get close(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { linger, socket } = this
      this.receiver = undefined
      this.written = undefined
      this.held = nothing
      this.paused = false
      socket.off("data", onData)
      socket.off("end", onEnd)
      socket.off("error", onError)
      socket.off("close", onClose)
      socket[owner] = undefined
      return closeAfter(socket, linger)
    })
  }
}

/**
 * Sends pending bytes and the end. Bytes that arrive at a closed socket are answered by a reset, which may
 * overtake pending bytes. Therefore this reads and discards the peer's bytes until the peer closes too, or
 * the time is over.
 */
const closeAfter = (socket: Net.Socket, linger: Duration.Input): Effect.Effect<void> => {
  if (socket.destroyed || socket.readableEnded || Duration.isZero(Duration.fromInputUnsafe(linger))) {
    socket.destroySoon()
    return Effect.void
  }
  const closed = Effect.callback<void>((resume) => {
    socket.once("close", () => resume(Effect.void))
    socket.end()
    socket.resume()
  })
  const drop = Effect.andThen(
    Effect.interruptible(Effect.sleep(linger)),
    Effect.sync(() => socket.destroy())
  )
  return Effect.uninterruptible(
    Effect.flatMap(Effect.forkChild(drop, { startImmediately: true }), (dropping) =>
      Effect.andThen(closed, Fiber.interrupt(dropping))
    )
  )
}

const socketClosed = () => new Error("socket closed")

/**
 * Settings for closing a transport.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options {
  /**
   * How long the peer's bytes are still read and discarded after this end has closed normally. Default zero.
   * The scope closes when the peer has closed too, or after this time.
   */
  readonly linger?: Duration.Input | undefined
}

/**
 * The transport of a connected socket, such as one that a server accepted.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromSocket = (socket: Net.Socket, { linger = 0 }: Options = {}): Transport.Open =>
  Effect.uninterruptible(
    Effect.flatMap(Effect.scope, (scope) => {
      const transport = new TcpTransport(socket, linger)
      return Effect.as(transport.closeWith(scope), transport)
    })
  )

/**
 * Writes final bytes to a socket that has no reader yet, and closes it normally.
 *
 * @category constructors
 * @since 0.1.0
 */
export const dismiss = (socket: Net.Socket, words: Uint8Array, linger: Duration.Input): Effect.Effect<void> =>
  Effect.suspend(() => {
    socket.write(words)
    return closeAfter(socket, linger)
  })

/**
 * The transport of a pipe to another process. It reads like a dialled socket, into owned chunks.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromPipe = (socket: Net.Socket): Transport.Open =>
  Effect.suspend(() => {
    const memory = new ReadMemory()
    const taken = (length: number) => void socket.emit("data", memory.take(length))
    socket.pause()
    // Otherwise Node's own reads remain.
    NodeInternals.readInto(socket, { room: memory.room, taken })
    return fromSocket(socket)
  })

/**
 * Settings of {@link connect}.
 *
 * @category settings
 * @since 0.1.0
 */
export interface ConnectOptions {
  readonly address: Address.Address
  /** How long connecting may take. Default `Infinity`. */
  readonly timeout?: Duration.Input | undefined
}

/**
 * Connects. The scope owns the connection.
 *
 * @category constructors
 * @since 0.1.0
 */
export const connect = (options: ConnectOptions): Transport.Open =>
  Effect.gen(function* () {
    const { timeout = "Infinity" } = Limit.members("a connection", options, ["address", "timeout"])
    const address = yield* Effect.fromResult(Address.fromInput(options.address))
    const socket = yield* Effect.acquireRelease(
      Effect.sync(() => dial(address)),
      (socket) => Effect.sync(() => (socket.connecting ? socket.destroy() : socket.destroySoon()))
    )
    yield* within(connected(socket), Limit.millis("timeout", timeout))
    return yield* fromSocket(socket)
  })

const within = <A, R>(
  connected: Effect.Effect<A, Socket.SocketError, R>,
  millis: number
): Effect.Effect<A, Socket.SocketError, R | Scope.Scope> =>
  millis === Timers.never
    ? connected
    : Effect.flatMap(Timers.use, (timers) =>
        timers.within(connected, millis, () =>
          Effect.fail(notOpen("Timeout", new Error("Connection timed out")))
        )
      )

const dial = (address: Address.Address): Net.Socket => {
  const memory = new ReadMemory()
  const socket = Net.connect({
    ...(address._tag === "Unix" ? { path: address.path } : { host: address.host, port: address.port }),
    // A cancel or a small request must not wait for the peer to acknowledge earlier bytes.
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
  return socket
}

const connected = (socket: Net.Socket): Effect.Effect<void, Socket.SocketError> =>
  Effect.callback((resume) => {
    socket.once("connect", () => resume(Effect.void))
    // This listener stays: it absorbs errors that occur after the last reader.
    socket.on("error", (cause) => resume(Effect.fail(notOpen("Unknown", cause))))
  })

const notOpen = (kind: "Timeout" | "Unknown", cause: unknown) =>
  failed(new Socket.SocketOpenError({ kind, cause }))
