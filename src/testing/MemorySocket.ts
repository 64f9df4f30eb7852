/**
 * Two ends of a connection in memory, as Effect sockets: with real back-pressure, and without ports or
 * timers.
 *
 * Closing a scope of the writer half-closes. A `CloseEvent` closes. One with a code above 1000 resets the
 * connection: bytes in flight are lost, and the other end fails to read.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Socket from "effect/socket/Socket"
import * as Limit from "../settings/Limit.ts"

/**
 * Settings of a connection in memory.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options {
  /** The number of bytes that a direction buffers before its writer waits. Default 64 KiB. */
  readonly capacity?: number | undefined
}

const checks: Limit.Checks<Options> = {
  capacity: (name, given: number) => (given === Number.POSITIVE_INFINITY ? given : Limit.size(name, given, 0))
}

const encoder = new TextEncoder()

const closed = (code: number) => new Socket.SocketError({ reason: new Socket.SocketCloseError({ code }) })

const notWritable = () =>
  new Socket.SocketError({ reason: new Socket.SocketWriteError({ cause: new Error("socket closed") }) })

const reset = () =>
  new Socket.SocketError({ reason: new Socket.SocketReadError({ cause: new Error("read ECONNRESET") }) })

/**
 * One direction: bytes in flight, a writer that waits above the capacity, a reader that waits at zero. Both
 * resume in a later turn of the event loop, as over a network.
 */
class Pipe {
  private readonly capacity: number
  private chunks: Array<Uint8Array> = []
  private bytes = 0
  private readable: Socket.SocketError | undefined
  private writable = true
  private lost = false
  private readonly arrived = Latch.makeUnsafe(false)
  private readonly room = Latch.makeUnsafe(true)

  constructor(capacity: number) {
    this.capacity = capacity
  }

  readonly write = (chunks: ReadonlyArray<Uint8Array | string>): Effect.Effect<unknown, Socket.SocketError> =>
    Effect.suspend(() => {
      if (!this.writable) return Effect.fail(notWritable())
      for (const chunk of chunks) {
        const bytes = typeof chunk === "string" ? encoder.encode(chunk) : chunk
        if (bytes.length === 0) continue
        this.chunks.push(bytes)
        this.bytes += bytes.length
      }
      if (this.bytes === 0) return Effect.void
      if (this.bytes <= this.capacity) return this.arrived.open
      this.room.closeUnsafe()
      return Effect.andThen(this.arrived.open, this.taken)
    })

  private readonly taken = Effect.suspend(() =>
    Effect.andThen(
      this.room.await,
      Effect.suspend(() =>
        this.lost || this.bytes > this.capacity ? Effect.fail(notWritable()) : Effect.void
      )
    )
  )

  readonly pull: Effect.Effect<NonEmptyReadonlyArray<Uint8Array>, Socket.SocketError> = Effect.suspend(() => {
    const [first, ...rest] = this.chunks
    if (first !== undefined) {
      this.chunks = []
      this.bytes = 0
      if (this.readable === undefined) this.arrived.closeUnsafe()
      return Effect.as(this.room.open, [first, ...rest] as const)
    }
    return this.readable === undefined
      ? Effect.andThen(this.arrived.await, this.pull)
      : Effect.fail(this.readable)
  })

  /** The writer has ended; the reader still gets the bytes in flight. */
  end(error = closed(1000)): void {
    this.readable ??= error
    this.writable = false
    this.arrived.openUnsafe()
    this.room.openUnsafe()
  }

  /** One of the two has closed: the bytes in flight are lost. */
  abort(error = closed(1000)): void {
    this.lost = true
    this.chunks = []
    this.bytes = 0
    this.end(error)
  }
}

const end = (incoming: Pipe, outgoing: Pipe): Socket.Socket => {
  const close = Effect.sync(() => {
    outgoing.end()
    incoming.abort()
  })
  const destroy = Effect.sync(() => {
    outgoing.abort(reset())
    incoming.abort()
  })
  return Socket.make({
    reader: Effect.as(
      Effect.addFinalizer(() => close),
      { pull: incoming.pull, upgrade: Socket.SocketUpgradeError.unsupported }
    ),
    writer: Effect.as(
      Effect.addFinalizer(() => Effect.sync(() => outgoing.end())),
      {
        write: (chunk) => {
          if (!Socket.isCloseEvent(chunk)) return outgoing.write([chunk])
          return chunk.code > 1000 ? destroy : close
        },
        writeAll: outgoing.write
      }
    )
  })
}

/**
 * The two ends of a connection. Each reads the writes of the other.
 *
 * @category constructors
 * @since 0.1.0
 */
export const pair = (options: Options = {}): Effect.Effect<readonly [Socket.Socket, Socket.Socket]> =>
  Effect.sync(() => {
    const { capacity = 64 * 1024 } = Limit.settings("a connection in memory", options, checks)
    const forth = new Pipe(capacity)
    const back = new Pipe(capacity)
    return [end(back, forth), end(forth, back)]
  })
