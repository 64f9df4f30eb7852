/**
 * An Effect `Socket` over a connected socket of `node:net`.
 *
 * It is what `NodeSocket` of `@effect/platform-node` is, with less work for each read and write: a chunk is
 * handed over as it arrives if somebody waits for it, and a write that the kernel takes whole is over at once.
 */
import * as Net from "node:net"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import type * as Address from "./Address.ts"

type Chunks = NonEmptyReadonlyArray<Uint8Array>

const failed = (reason: Socket.SocketError["reason"]) => new Socket.SocketError({ reason })
const closed = (code: number) => failed(new Socket.SocketCloseError({ code }))
const notWritable = (cause: unknown) => failed(new Socket.SocketWriteError({ cause }))

/** How many bytes are read ahead of whoever pulls, besides what Node itself buffers. */
const readAheadSize = 256 * 1024

/**
 * Reads chunks as they arrive. When more have arrived than are read ahead, the socket is paused until they have
 * been taken, so that the peer is held back.
 */
class Reading {
  private readonly socket: Net.Socket
  private chunks: Array<Uint8Array> = []
  private bytes = 0
  private waiter: ((effect: Effect.Effect<Chunks, Socket.SocketError>) => void) | undefined
  private error: Socket.SocketError | undefined

  constructor(socket: Net.Socket) {
    this.socket = socket
    socket.pause()
    socket.on("data", this.onData)
    socket.on("end", this.onEnd)
    socket.on("error", this.onError)
    socket.on("close", this.onClose)
  }

  readonly pull: Effect.Effect<Chunks, Socket.SocketError> = Effect.callback((resume) => {
    this.waiter = resume
    this.hand()
    if (this.socket.isPaused()) this.socket.resume()
    if (this.waiter === undefined) return undefined
    return Effect.sync(() => {
      this.waiter = undefined
    })
  })

  /** Ends the reading: a pull that waits fails. */
  readonly close = Effect.sync(() => {
    const { socket } = this
    socket.off("data", this.onData)
    socket.off("end", this.onEnd)
    socket.off("error", this.onError)
    socket.off("close", this.onClose)
    this.fail(closed(1006))
  })

  /** Gives whoever waits what there is. */
  private hand(): void {
    const { chunks, error, waiter } = this
    if (waiter === undefined) return
    if (chunks.length > 0) {
      this.waiter = undefined
      this.chunks = []
      this.bytes = 0
      waiter(Effect.succeed(chunks as unknown as Chunks))
    } else if (error !== undefined) {
      this.waiter = undefined
      waiter(Effect.fail(error))
    }
  }

  private readonly onData = (chunk: Uint8Array): void => {
    this.chunks.push(chunk)
    this.bytes += chunk.length
    this.hand()
    if (this.bytes >= readAheadSize) this.socket.pause()
  }

  /** The peer sends nothing more; what has arrived is still handed over. */
  private readonly onEnd = (): void => this.end(closed(1000))

  private readonly onError = (cause: Error): void => this.fail(failed(new Socket.SocketReadError({ cause })))

  private readonly onClose = (hadError: boolean): void =>
    hadError ? this.fail(closed(1006)) : this.end(closed(1000))

  private end(error: Socket.SocketError): void {
    this.error ??= error
    this.hand()
  }

  private fail(error: Socket.SocketError): void {
    this.chunks = []
    this.end(error)
  }
}

/** Writes, and waits until the kernel has all that was written. */
class Writing implements Socket.Writer {
  private readonly socket: Net.Socket
  private readonly waiting = new Set<(effect: Effect.Effect<void, Socket.SocketError>) => void>()

  constructor(socket: Net.Socket) {
    this.socket = socket
    socket.on("close", this.onClose)
  }

  readonly write: Socket.Writer["write"] = (chunk) => {
    if (!Socket.isCloseEvent(chunk)) return this.writeAll([chunk])
    return Effect.sync(() => {
      this.socket.destroy(chunk.code > 1000 ? new Error(`closed with code ${chunk.code}`) : undefined)
    })
  }

  readonly writeAll: Socket.Writer["writeAll"] = (chunks) =>
    Effect.suspend(() => {
      const { socket } = this
      if (!socket.writable) return Effect.fail(notWritable(socketClosed()))
      if (chunks.length === 1) {
        socket.write(chunks[0], this.onWritten)
      } else {
        socket.cork()
        for (const chunk of chunks) socket.write(chunk, this.onWritten)
        socket.uncork()
      }
      return socket.writableLength === 0 && socket.errored === null ? Effect.void : this.written
    })

  readonly close = Effect.sync(() => {
    if (this.socket.writable) this.socket.end()
  })

  private readonly written = Effect.callback<void, Socket.SocketError>((resume) => {
    this.waiting.add(resume)
    return Effect.sync(() => {
      this.waiting.delete(resume)
    })
  })

  private readonly onWritten = (error?: Error | null): void => {
    if (error) this.settle(Effect.fail(notWritable(error)))
    else if (this.socket.writableLength === 0) this.settle(Effect.void)
  }

  private readonly onClose = (): void => this.settle(Effect.fail(notWritable(socketClosed())))

  private settle(effect: Effect.Effect<void, Socket.SocketError>): void {
    if (this.waiting.size === 0) return
    const waiting = [...this.waiting]
    this.waiting.clear()
    for (const resume of waiting) resume(effect)
  }
}

const socketClosed = () => new Error("socket closed")

/**
 * The Effect socket of a connected one. It can be read once; the scope of the reader owns the socket, and closing
 * it closes the socket after what was written.
 */
export const make = (socket: Net.Socket): Socket.Socket =>
  Socket.make({
    reader: Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => new Reading(socket)),
        (reading) =>
          Effect.andThen(
            reading.close,
            Effect.sync(() => socket.destroySoon())
          )
      ),
      ({ pull }) => ({ pull, upgrade: Socket.SocketUpgradeError.unsupported })
    ),
    writer: Effect.acquireRelease(
      Effect.sync(() => new Writing(socket)),
      (writing) => writing.close
    )
  })

export interface ConnectOptions {
  readonly address: Address.Address
  /** How long connecting may take. */
  readonly timeout: Duration.Input
}

/** Connects. The scope owns the connection. */
export const connect = (
  options: ConnectOptions
): Effect.Effect<Socket.Socket, Socket.SocketError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => open(options.address)),
    (socket) => Effect.sync(() => (socket.connecting ? socket.destroy() : socket.destroySoon()))
  ).pipe(
    Effect.tap((socket) =>
      Effect.timeoutOrElse(connected(socket), {
        duration: options.timeout,
        orElse: () => Effect.fail(notOpen("Timeout", new Error("Connection timed out")))
      })
    ),
    Effect.map(make)
  )

const open = (address: Address.Address): Net.Socket =>
  Net.connect({
    ...(address._tag === "Unix" ? { path: address.path } : { host: address.host, port: address.port }),
    // A cancel or a small request must not wait for the peer to acknowledge what was sent before.
    noDelay: true,
    keepAlive: true
  })

const connected = (socket: Net.Socket): Effect.Effect<void, Socket.SocketError> =>
  Effect.callback((resume) => {
    socket.once("connect", () => resume(Effect.void))
    // It stays: an error that comes when nobody reads any more is nobody's.
    socket.on("error", (cause) => resume(Effect.fail(notOpen("Unknown", cause))))
  })

const notOpen = (kind: "Timeout" | "Unknown", cause: unknown) =>
  failed(new Socket.SocketOpenError({ kind, cause }))
