/**
 * The one way by which frames reach a socket.
 *
 * A write gathers its frames into one batch for the socket: small frames are copied into a contiguous
 * buffer, large bodies go out as they are. One write is under way at a time, so a frame is never split by
 * another, whichever fiber it comes from.
 */
import { Buffer } from "node:buffer"
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as Frame from "./Frame.ts"
import { WriteBudget } from "./WriteBudget.ts"

/** The peer took no byte for `writeTimeout`; the socket has been destroyed. */
export class WriteTimeout extends Schema.TaggedError<WriteTimeout>()("WriteTimeout", {
  writeTimeoutMillis: Schema.Finite
}) {
  override get message() {
    return `Peer accepted no data for ${this.writeTimeoutMillis} ms (writeTimeout)`
  }
}

/** Why a write fails. After it the connection is of no more use. */
export type Failure = Socket.SocketError | WriteTimeout

/** A failure in the words of the system, where it has any. */
export const describe = (error: Failure): string => {
  if (error._tag === "WriteTimeout") return error.message
  const { reason } = error
  if (reason._tag === "SocketCloseError") return reason.code === 1000 ? "End of file" : "Connection closed"
  const cause = "cause" in reason ? reason.cause : undefined
  return cause instanceof Error ? firstMessage(cause) : reason.message
}

/** Connecting to a name with several addresses fails with an error for each and no message of its own. */
const firstMessage = (error: Error): string => {
  if (error.message !== "" || !(error instanceof AggregateError)) return error.message
  const messages = error.errors.map((each) => (each instanceof Error ? each.message : String(each)))
  return messages.join("; ")
}

export interface Options extends Frame.Options {
  /** How long the peer may take no byte while a write is under way, in milliseconds; may be `Infinity`. */
  readonly writeTimeoutMillis: number
  /**
   * Bytes that the transport holds for the peer and has not passed on, where the transport can tell. A
   * change counts as progress within a single large write.
   */
  readonly unsent?: (() => number) | undefined
}

export interface WriteOptions {
  /** Called once the socket has the frames, before the wait. */
  readonly onStarted?: (() => void) | undefined
  /**
   * Whether to pass by those who wait for the thread's budget: for single small frames that somebody waits
   * for, such as the acknowledgement of a cancel.
   */
  readonly urgent?: boolean | undefined
}

export interface FrameWriter {
  /**
   * Writes frames in one batch and waits until the socket has taken them.
   *
   * **Details**
   *
   * `take` is called when the write has its turn, right before the first byte is handed over: the frames it
   * returns precede all others from then on. Nothing is written if it returns none. Interruption before that
   * writes nothing; after it, it only ends the wait.
   *
   * **Gotchas**
   *
   * `take` must not lead to another write on its own stack: this one has not begun yet.
   */
  readonly write: (
    take: () => ReadonlyArray<Frame.Frame>,
    options?: WriteOptions
  ) => Effect.Effect<void, Failure>
  /** Waits until no write is under way. */
  readonly flushed: Effect.Effect<void>
  /** Drops the connection at once, with whatever was not sent yet. */
  readonly destroy: Effect.Effect<void>
  /** The timeout that ended the connection, if one did. The reader may hear of that end first. */
  readonly timedOut: () => WriteTimeout | undefined
  /** Whether a write is under way. */
  readonly isWriting: () => boolean
  /** When a write last began or ended, in milliseconds of the Clock. */
  readonly lastWriteAt: () => number
  readonly bytesWritten: () => number
  readonly messagesWritten: () => number
}

/** Bodies of up to this many bytes are copied beside their header rather than given to the socket apart. */
const inlineBodySize = 2048

const byteLength = (parts: Arr.NonEmptyReadonlyArray<Uint8Array>): number => {
  let bytes = 0
  for (const part of parts) bytes += part.length
  return bytes
}

/** Lays frames out for one gather write. */
export const gather = (
  frames: Arr.NonEmptyReadonlyArray<Frame.Frame>,
  options: Frame.Options
): Arr.NonEmptyReadonlyArray<Uint8Array> => {
  let inline = 0
  for (const { body } of frames) {
    inline += Frame.headerSize + (body.length <= inlineBodySize ? body.length : 0)
  }
  const staging = Buffer.allocUnsafe(inline)
  const parts: Array<Uint8Array> = []
  let start = 0
  let end = 0
  for (const { body, type } of frames) {
    end = Frame.headerInto(options, staging, end, type, body.length)
    if (body.length <= inlineBodySize) {
      staging.set(body, end)
      end += body.length
    } else {
      parts.push(staging.subarray(start, end), body)
      start = end
    }
  }
  if (start < end) parts.push(staging.subarray(start, end))
  return parts as unknown as Arr.NonEmptyReadonlyArray<Uint8Array>
}

/**
 * Makes the writer of a socket. The scope owns the socket's write side: closing it half-closes the socket.
 */
export const make = Effect.fnUntraced(function* (
  socket: Socket.Socket,
  options: Options
): Effect.fn.Return<FrameWriter, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const clock = yield* Clock.Clock
  const budget = yield* WriteBudget
  const sink = yield* socket.writer
  const idle = Latch.makeUnsafe(true)
  const fork = Effect.runForkWith(yield* Effect.context<never>())

  let writes = 0
  let writing = false
  let guarded = false
  let lastWriteAt = clock.currentTimeMillisUnsafe()
  let bytesWritten = 0
  let messagesWritten = 0
  let timeout: WriteTimeout | undefined

  const end = () => {
    writing = false
    lastWriteAt = clock.currentTimeMillisUnsafe()
    idle.openUnsafe()
  }

  const destroy = Effect.ignore(sink.write(new Socket.CloseEvent(1000)))

  // One sleeping fiber for as long as the peer keeps writes waiting, rather than a timer for each of them.
  const guard = Effect.gen(function* () {
    let write = -1
    let unsent = 0
    let deadline = 0
    while (writing) {
      const now = clock.currentTimeMillisUnsafe()
      const pending = options.unsent?.() ?? 0
      if (write !== writes) {
        deadline = lastWriteAt + options.writeTimeoutMillis
      } else if (pending !== unsent) {
        deadline = now + options.writeTimeoutMillis
      } else if (now >= deadline) {
        timeout = new WriteTimeout({ writeTimeoutMillis: options.writeTimeoutMillis })
        yield* destroy
        break
      }
      write = writes
      unsent = pending
      yield* Effect.sleep(deadline - now)
    }
    guarded = false
  })

  const whenBlocked = () => {
    if (guarded || options.writeTimeoutMillis === Number.POSITIVE_INFINITY) return
    guarded = true
    Fiber.runIn(fork(guard), scope)
  }

  // The scope's fiber and not the caller's waits for the socket: a caller that is interrupted leaves the write
  // whole, and the next one waits for its end.
  const start = (frames: Arr.NonEmptyReadonlyArray<Frame.Frame>): Fiber.Fiber<void, Socket.SocketError> => {
    const parts = gather(frames, options)
    const bytes = byteLength(parts)
    writes++
    writing = true
    idle.closeUnsafe()
    lastWriteAt = clock.currentTimeMillisUnsafe()
    bytesWritten += bytes
    messagesWritten += frames.length
    budget.spend(bytes)
    const fiber = Fiber.runIn(fork(sink.writeAll(parts)), scope)
    fiber.addObserver(end)
    if (writing) whenBlocked()
    return fiber
  }

  const write: FrameWriter["write"] = (take, how) =>
    Effect.suspend((): Effect.Effect<void, Failure> => {
      if (timeout !== undefined) return Effect.fail(timeout)
      if (writing) return Effect.andThen(idle.await, write(take, how))
      if (budget.exhausted && how?.urgent !== true) return Effect.andThen(budget.nextTurn, write(take, how))
      // No operation, and so no interruption, comes between what is taken and its way to the socket.
      const frames = take()
      if (!Arr.isReadonlyArrayNonEmpty(frames)) return Effect.void
      const fiber = start(frames)
      how?.onStarted?.()
      return fiber.pollUnsafe() ?? Effect.mapError(Fiber.join(fiber), (error) => timeout ?? error)
    })

  return {
    write,
    flushed: idle.await,
    destroy,
    timedOut: () => timeout,
    isWriting: () => writing,
    lastWriteAt: () => lastWriteAt,
    bytesWritten: () => bytesWritten,
    messagesWritten: () => messagesWritten
  }
})
