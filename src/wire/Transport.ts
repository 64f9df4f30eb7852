/**
 * What carries the bytes of a connection: gives what arrives to a receiver, and takes gather writes.
 *
 * It calls, and is called, on the stack of whoever makes something happen: neither a read nor a write costs a
 * fiber. {@link fromSocket} makes one of any Effect `Socket`; `NetTransport` is one of a `net.Socket` directly.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"

export type Chunks = NonEmptyReadonlyArray<Uint8Array>

/** Whoever is given what arrives. */
export interface Receiver {
  /** The chunks that one read brought. */
  readonly received: (chunks: Chunks) => void
  /** Nothing follows. A `SocketCloseError` with code 1000 says that the peer has sent all it wanted to. */
  readonly ended: (cause: Cause.Cause<Socket.SocketError>) => void
}

export interface Transport {
  /** Reads from now on; to be called once. */
  readonly read: (receiver: Receiver) => void
  /** Whether chunks are the receiver's only until it returns: their memory is written to again. */
  readonly lends: boolean
  /**
   * Whether the next read may overwrite what the receiver was given last: it pauses for as long as it needs that.
   * To be turned off in a call of the receiver's. Does nothing where the memory is not the transport's.
   */
  readonly reuse: (on: boolean) => void
  /** Gives the receiver nothing more, so that the peer is held back, until `resume`. */
  readonly pause: () => void
  readonly resume: () => void
  /**
   * Writes parts one behind the other, which must not change until they are written, and which it leaves as they
   * are: they may be written again. Returns how that went if it is over at once; otherwise `written` is called when
   * it is. One write at a time.
   */
  readonly write: (
    parts: Chunks,
    written: (exit: Exit.Exit<void, Socket.SocketError>) => void
  ) => Exit.Exit<void, Socket.SocketError> | undefined
  /** Whether nothing refers to the parts of a write any more once it has succeeded: the kernel has copied them. */
  readonly copies: boolean
  /** Drops the connection at once, with whatever was not sent yet. */
  readonly destroy: () => void
  /**
   * Bytes that are held for the peer and have not been passed on, where that is known. A change counts as
   * progress within a single large write.
   */
  readonly unsent: () => number
}

/** Takes a transport over. The scope owns it from then on: closing that closes it after what was written. */
export type Open = Effect.Effect<Transport, Socket.SocketError, Scope.Scope>

export interface SocketOptions {
  /** See {@link Transport}; an Effect `Socket` does not tell. */
  readonly unsent?: (() => number) | undefined
  /** See {@link Transport}. Default false: a socket may hold what it was given for as long as it likes. */
  readonly copies?: boolean | undefined
}

/** The transport of any Effect `Socket`. */
export const fromSocket = (socket: Socket.Socket, options: SocketOptions = {}): Open =>
  Effect.gen(function* () {
    const pull = yield* Socket.readerBytes(socket)
    const sink = yield* socket.writer
    const scope = yield* Effect.scope
    return new SocketTransport({
      pull,
      sink,
      scope,
      fork: Effect.runForkWith(yield* Effect.context<never>()),
      unsent: options.unsent,
      copies: options.copies === true
    })
  })

interface Parts {
  readonly pull: Effect.Effect<Chunks, Socket.SocketError>
  readonly sink: Socket.Writer
  readonly scope: Scope.Scope
  readonly fork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>
  readonly unsent: (() => number) | undefined
  readonly copies: boolean
}

class SocketTransport implements Transport {
  readonly lends = false
  private readonly parts: Parts
  private readonly wanted = Latch.makeUnsafe(true)

  constructor(parts: Parts) {
    this.parts = parts
  }

  read(receiver: Receiver): void {
    const { fork, pull, scope } = this.parts
    const next: Effect.Effect<never, Socket.SocketError> = Effect.flatMap(pull, (chunks) => {
      receiver.received(chunks)
      return Effect.andThen(this.wanted.await, next)
    })
    const reading = Effect.catchCause(Effect.andThen(this.wanted.await, next), (cause) =>
      Effect.sync(() => receiver.ended(cause))
    )
    Fiber.runIn(fork(reading), scope)
  }

  reuse(): void {}

  pause(): void {
    this.wanted.closeUnsafe()
  }

  resume(): void {
    this.wanted.openUnsafe()
  }

  // The scope's fiber and not the submitter waits for the socket: whoever is interrupted leaves the write
  // whole.
  write(
    parts: Chunks,
    written: (exit: Exit.Exit<void, Socket.SocketError>) => void
  ): Exit.Exit<void, Socket.SocketError> | undefined {
    const { fork, scope, sink } = this.parts
    const fiber = fork(sink.writeAll(parts))
    const exit = fiber.pollUnsafe()
    if (exit !== undefined) return exit
    Fiber.runIn(fiber, scope)
    fiber.addObserver(written)
    return undefined
  }

  destroy(): void {
    const { fork, scope, sink } = this.parts
    Fiber.runIn(fork(Effect.ignore(sink.write(new Socket.CloseEvent(1000)))), scope)
  }

  get copies(): boolean {
    return this.parts.copies
  }

  unsent(): number {
    return this.parts.unsent?.() ?? 0
  }
}
