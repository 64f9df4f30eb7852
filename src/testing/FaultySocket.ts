/**
 * A socket that fails on purpose: splits and delays bytes, blocks writes, breaks the connection, and fails a
 * chosen operation.
 *
 * **When to use**
 *
 * Around either end of a `MemorySocket.pair`, or any other Effect socket. A loop over `failAt` = 1, 2, …
 * until a run ends without a failure covers the failure of each operation of a conversation, after the test
 * streams of Robert Leahy's talks.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as Limit from "../settings/Limit.ts"

/**
 * The planned faults. An empty plan changes nothing.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Plan {
  /** The most bytes that one read returns. The rest comes with the next reads. */
  readonly readSize?: number | undefined
  /** The most bytes that one write carries. A larger write is split, and each part is an operation. */
  readonly writeSize?: number | undefined
  /** How long each read waits on the Clock before it reads or fails. */
  readonly readDelay?: Duration.Input | undefined
  /** How long each write waits on the Clock before it is sent or fails. A close does not wait. */
  readonly writeDelay?: Duration.Input | undefined
  /**
   * The number of the operation that fails, from 1: opens, reads, writes and closes are counted together, in
   * the order in which they begin; closing a scope is not counted. The operation fails without transferring a
   * byte. The others are not affected: the owner of the socket has to give up, and to notify its peer by
   * closing.
   */
  readonly failAt?: number | undefined
}

/**
 * The kind of an operation. The write of a `CloseEvent` is a close, whether it is clean or a reset.
 *
 * @category models
 * @since 0.1.0
 */
export type Operation = "open" | "read" | "write" | "close"

/**
 * A socket that fails by its plan, and the controls for the test.
 *
 * @category models
 * @since 0.1.0
 */
export interface FaultySocket {
  readonly socket: Socket.Socket
  /** The number of operations that have begun. */
  readonly operations: () => number
  /** The operation that failed by the plan, once it has. */
  readonly failed: () => Operation | undefined
  /**
   * Blocks writes from now on, as with a peer that does not read. Closing does not wait, and unblocks them.
   */
  readonly block: Effect.Effect<void>
  /** Unblocks writes. */
  readonly release: Effect.Effect<void>
  /** Blocks reads from now on, whatever the peer sends. Closing unblocks them. */
  readonly blockReads: Effect.Effect<void>
  /** Unblocks reads. */
  readonly releaseReads: Effect.Effect<void>
  /** Ends sending: writes fail, and the peer reads up to the end. */
  readonly halfClose: Effect.Effect<void>
  /** Breaks the connection for both ends, and drops bytes in flight. The socket has to be open. */
  readonly reset: Effect.Effect<void>
}

const delay = (name: string, given: Duration.Input) => Limit.duration(name, given, true)

const checks: Limit.Checks<Plan> = {
  readSize: (name, given: number) => Limit.size(name, given, 1),
  writeSize: (name, given: number) => Limit.size(name, given, 1),
  readDelay: delay,
  writeDelay: delay,
  failAt: Limit.countOrInfinity
}

/**
 * Wraps a socket. Nothing happens before the socket is opened.
 *
 * **Gotchas**
 *
 * A close that fails by the plan has closed all the same, as with the system's `close`. Interruption leaves a
 * write that was split by `writeSize` unfinished.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (socket: Socket.Socket, plan: Plan = {}): FaultySocket => {
  const faults = new Faults(socket, Limit.settings("a plan of faults", plan, checks))
  return {
    socket: Socket.make({ reader: faults.reader, writer: faults.writer }),
    operations: () => faults.operations,
    failed: () => faults.failed,
    block: Effect.asVoid(faults.room.close),
    release: Effect.asVoid(faults.room.open),
    blockReads: Effect.asVoid(faults.arrivals.close),
    releaseReads: Effect.asVoid(faults.arrivals.open),
    halfClose: faults.halfClose,
    reset: faults.reset
  }
}

const encoder = new TextEncoder()

const toBytes = (chunk: Uint8Array | string): Uint8Array =>
  typeof chunk === "string" ? encoder.encode(chunk) : chunk

const error = (operation: Operation, detail: string): Socket.SocketError => {
  const cause = new Error(detail)
  switch (operation) {
    case "open":
      return new Socket.SocketError({ reason: new Socket.SocketOpenError({ kind: "Unknown", cause }) })
    case "read":
      return new Socket.SocketError({ reason: new Socket.SocketReadError({ cause }) })
    case "write":
    case "close":
      return new Socket.SocketError({ reason: new Socket.SocketWriteError({ cause }) })
  }
}

/** The bytes in pieces of at most this many. */
const split = (chunks: ReadonlyArray<Uint8Array>, size: number): ReadonlyArray<Uint8Array> =>
  chunks.flatMap((chunk) => {
    const pieces: Array<Uint8Array> = []
    for (let at = 0; at < chunk.length; at += size) pieces.push(chunk.subarray(at, at + size))
    return pieces
  })

class Faults {
  private readonly socket: Socket.Socket
  private readonly plan: Plan
  private readonly writers = new Set<Scope.Closeable>()
  private pieces: Array<Uint8Array> = []
  private broken = false
  private ended = false
  readonly room = Latch.makeUnsafe(true)
  readonly arrivals = Latch.makeUnsafe(true)
  operations = 0
  failed: Operation | undefined

  constructor(socket: Socket.Socket, plan: Plan) {
    this.socket = socket
    this.plan = plan
  }

  /** Counts the operation and waits; fails if it is the planned one, or the connection is broken. */
  private begin(operation: Operation, delay?: Duration.Input): Effect.Effect<void, Socket.SocketError> {
    return Effect.suspend(() => {
      const number = ++this.operations
      const ready = Effect.suspend(() => {
        if (number === this.plan.failAt) {
          this.failed = operation
          return Effect.fail(error(operation, `${operation} failed as operation ${number}`))
        }
        return this.broken ? Effect.fail(this.resetError(operation)) : Effect.void
      })
      return delay === undefined ? ready : Effect.andThen(Effect.sleep(delay), ready)
    })
  }

  private resetError(operation: Operation): Socket.SocketError {
    return error(operation, `${operation} ECONNRESET`)
  }

  readonly reader: Socket.Socket["reader"] = Effect.suspend(() =>
    Effect.map(Effect.andThen(this.begin("open"), this.socket.reader), (reader) => ({
      ...reader,
      pull: this.read(reader)
    }))
  )

  private read(reader: Socket.Reader): Socket.Reader["pull"] {
    const { readDelay, readSize } = this.plan
    return Effect.gen({ self: this }, function* () {
      yield* this.begin("read", readDelay)
      yield* this.arrivals.await
      const left = this.pieces.shift()
      if (left !== undefined) return [left] as const
      // The underlying socket reports a close; here the connection was broken.
      const chunks = yield* Effect.mapError(reader.pull, (end) =>
        this.broken ? this.resetError("read") : end
      )
      // A read that began to wait for the peer before reads were blocked continues to wait.
      yield* this.arrivals.await
      if (readSize === undefined) return chunks
      const [first, ...rest] = split(chunks.map(toBytes), readSize)
      this.pieces = rest
      return [first ?? new Uint8Array(0)] as const
    })
  }

  /** In a separate scope, whose close is the half-close. */
  readonly writer: Socket.Socket["writer"] = Effect.suspend(() =>
    Effect.gen({ self: this }, function* () {
      const scope = yield* Scope.fork(yield* Effect.scope)
      const writer = yield* Scope.provide(this.socket.writer, scope)
      this.writers.add(scope)
      yield* Scope.addFinalizer(
        scope,
        Effect.sync(() => this.writers.delete(scope))
      )
      return {
        write: (chunk) =>
          Socket.isCloseEvent(chunk) ? this.close(writer, chunk) : this.writeAll(writer, [chunk]),
        writeAll: (chunks) => this.writeAll(writer, chunks)
      }
    })
  )

  private close(writer: Socket.Writer, event: Socket.CloseEvent): Effect.Effect<void, Socket.SocketError> {
    const closing = Effect.andThen(writer.write(event), Effect.andThen(this.room.open, this.arrivals.open))
    return Effect.ensuring(this.begin("close"), Effect.ignore(closing))
  }

  private writeAll(
    writer: Socket.Writer,
    chunks: NonEmptyReadonlyArray<Uint8Array | string>
  ): Effect.Effect<void, Socket.SocketError> {
    const { writeSize } = this.plan
    if (writeSize === undefined) return this.write(() => writer.writeAll(chunks))
    return Effect.forEach(
      split(chunks.map(toBytes), writeSize),
      (piece) => this.write(() => writer.writeAll([piece])),
      { discard: true }
    )
  }

  private write(
    send: () => Effect.Effect<void, Socket.SocketError>
  ): Effect.Effect<void, Socket.SocketError> {
    return Effect.gen({ self: this }, function* () {
      yield* this.begin("write", this.plan.writeDelay)
      yield* this.room.await
      if (this.broken) return yield* this.resetError("write")
      if (this.ended) return yield* error("write", "write EPIPE")
      yield* send()
    })
  }

  readonly halfClose: Effect.Effect<void> = Effect.suspend(() => {
    this.ended = true
    this.room.openUnsafe()
    return Effect.forEach([...this.writers], (scope) => Scope.close(scope, Exit.void), { discard: true })
  })

  readonly reset: Effect.Effect<void> = Effect.suspend(() => {
    this.broken = true
    this.room.openUnsafe()
    this.arrivals.openUnsafe()
    const breaking = Effect.flatMap(this.socket.writer, (writer) => writer.write(new Socket.CloseEvent(1006)))
    return Effect.ignore(Effect.scoped(breaking))
  })
}
