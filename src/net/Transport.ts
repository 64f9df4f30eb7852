/**
 * The transport of a connection: passes arriving bytes to a receiver, and takes gather writes.
 *
 * Calls in both directions run on the stack of the event: neither a read nor a write costs a fiber. {@link
 * fromSocket} adapts any Effect `Socket`; `Tcp` provides those of `node:net`.
 */
import * as Arr from "effect/Array"
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as Chunk from "./Chunk.ts"

/**
 * Bytes in several parts, in order.
 *
 * @category models
 * @since 0.1.0
 */
export type Chunks = Arr.NonEmptyReadonlyArray<Uint8Array>

/**
 * The number of bytes in all parts.
 *
 * @category bytes
 * @since 0.1.0
 */
export const byteLength = (parts: Chunks): number => {
  let bytes = 0
  for (const part of parts) bytes += part.length
  return bytes
}

/**
 * The first `size` bytes of parts that are longer, and the remaining bytes.
 *
 * @category bytes
 * @since 0.1.0
 */
export const cut = (parts: Chunks, size: number): readonly [Chunks, Chunks] => {
  const first: Array<Uint8Array> = []
  const rest: Array<Uint8Array> = []
  let left = size
  for (const part of parts) {
    if (left > 0) first.push(part.subarray(0, left))
    if (part.length > left) rest.push(part.subarray(left))
    left = Math.max(0, left - part.length)
  }
  return [first, rest] as unknown as readonly [Chunks, Chunks]
}

/**
 * The consumer of the bytes that arrive.
 *
 * @category models
 * @since 0.1.0
 */
export interface Receiver {
  /** The chunks of one read. The receiver owns them: it passes them on or releases them (`Chunk`). */
  readonly received: (chunks: Chunks) => void
  /** Nothing follows. A `SocketCloseError` with code 1000 means that the peer has ended its side normally. */
  readonly ended: (cause: Cause.Cause<Socket.SocketError>) => void
}

/**
 * A bidirectional stream of bytes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Transport {
  /** Starts reading; to be called once. */
  readonly read: (receiver: Receiver) => void
  /** Gives the receiver nothing until `resume`, which exerts back-pressure on the peer. */
  readonly pause: () => void
  readonly resume: () => void
  /**
   * Writes parts in order, one write at a time.
   *
   * **Details**
   *
   * Returns the outcome if the write completes at once, and calls `written` with it otherwise. Until then the
   * parts must not change; after a success the transport keeps no reference to them. It never changes them.
   */
  readonly write: (
    parts: Chunks,
    written: (exit: Exit.Exit<void, Socket.SocketError>) => void
  ) => Exit.Exit<void, Socket.SocketError> | undefined
  /** Drops the connection at once, with all unsent bytes. */
  readonly destroy: () => void
  /**
   * The number of bytes held for the peer that have not been passed on, where that is known. A change is
   * progress within a single large write.
   */
  readonly unsent: () => number
}

/**
 * Acquires a transport for the scope. Closing the scope closes the transport after pending writes.
 *
 * @category models
 * @since 0.1.0
 */
export type Open = Effect.Effect<Transport, Socket.SocketError, Scope.Scope>

/**
 * The use of a transport: which end of the connection it is, and the name of the peer, once it is open.
 *
 * @category models
 * @since 0.1.0
 */
export interface Place {
  readonly end: "client" | "server"
  readonly peer: () => string
}

/**
 * A wrapper that clients and servers put around each transport that they open, such as a recording
 * (`Recorder`). Default: none.
 *
 * @category services
 * @since 0.1.0
 */
export const Wrapper: Context.Reference<(open: Open, place: Place) => Open> = Context.Reference(
  "dataconn/net/Transport/Wrapper",
  { defaultValue: () => (open: Open, _: Place) => open }
)

/**
 * Settings of {@link fromSocket}.
 *
 * @category settings
 * @since 0.1.0
 */
export interface SocketOptions {
  /** See {@link Transport}; an Effect `Socket` does not provide it. */
  readonly unsent?: (() => number) | undefined
}

/**
 * The transport of any Effect `Socket`. Written bytes are copied, since a socket may hold them indefinitely.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromSocket = (socket: Socket.Socket, options: SocketOptions = {}): Open =>
  Effect.gen(function* () {
    const pull = yield* Socket.readerBytes(socket)
    const sink = yield* socket.writer
    const transport = new SocketTransport(options.unsent)
    yield* Effect.forkScoped(transport.reading(pull))
    yield* Effect.forkScoped(transport.writing(sink), { startImmediately: true })
    yield* Effect.forkScoped(transport.closing(sink), { startImmediately: true })
    return transport
  })

type Written = (exit: Exit.Exit<void, Socket.SocketError>) => void

/** Three fibers of the scope run the socket's effects: read, write, and close. */
class SocketTransport implements Transport {
  readonly unsent: () => number
  private receiver: Receiver | undefined
  private readonly started = Latch.makeUnsafe(false)
  private readonly wanted = Latch.makeUnsafe(true)
  private readonly dropped = Latch.makeUnsafe(false)
  /** Resumes the writing fiber while it waits. */
  private begin: ((parts: Effect.Effect<Chunks>) => void) | undefined
  private queued: Chunks | undefined
  private exit: Exit.Exit<void, Socket.SocketError> | undefined
  private written: Written | undefined

  constructor(unsent = () => 0) {
    this.unsent = unsent
  }

  reading(pull: Effect.Effect<Chunks, Socket.SocketError>): Effect.Effect<void> {
    const next: Effect.Effect<never, Socket.SocketError> = Effect.flatMap(
      Effect.andThen(this.wanted.await, pull),
      (chunks) => {
        this.receiver?.received(chunks)
        return next
      }
    )
    return Effect.catchCause(Effect.andThen(this.started.await, next), (cause) =>
      Effect.sync(() => this.receiver?.ended(cause))
    )
  }

  writing(sink: Socket.Writer): Effect.Effect<never> {
    const parts = Effect.callback<Chunks>((resume) => {
      const { queued } = this
      this.queued = undefined
      if (queued === undefined) this.begin = resume
      else resume(Effect.succeed(queued))
    })
    return Effect.forever(
      Effect.flatMap(parts, (parts) =>
        Effect.map(Effect.exit(sink.writeAll(Arr.map(parts, Chunk.copied))), (exit) => this.end(exit))
      ),
      { disableYield: true }
    )
  }

  closing(sink: Socket.Writer): Effect.Effect<void> {
    return Effect.andThen(this.dropped.await, Effect.ignore(sink.write(new Socket.CloseEvent(1000))))
  }

  read(receiver: Receiver): void {
    this.receiver = receiver
    this.started.openUnsafe()
  }

  pause(): void {
    this.wanted.closeUnsafe()
  }

  resume(): void {
    this.wanted.openUnsafe()
  }

  write(parts: Chunks, written: Written): Exit.Exit<void, Socket.SocketError> | undefined {
    const { begin } = this
    this.begin = undefined
    this.exit = undefined
    if (begin === undefined) this.queued = parts
    else begin(Effect.succeed(parts))
    if (this.exit === undefined) this.written = written
    return this.exit
  }

  private end(exit: Exit.Exit<void, Socket.SocketError>): void {
    const { written } = this
    this.exit = exit
    this.written = undefined
    written?.(exit)
  }

  destroy(): void {
    this.dropped.openUnsafe()
  }
}
