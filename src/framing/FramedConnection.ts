/** A connection of any message protocol: the stream of arriving messages, and the one writer. */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Pull from "effect/Pull"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Socket from "effect/socket/Socket"
import * as Timers from "../loop/Timers.ts"
import * as Chunk from "../net/Chunk.ts"
import type * as Transport from "../net/Transport.ts"
import * as Limit from "../settings/Limit.ts"
import type { Codec, Decoder } from "./Codec.ts"
import * as Writer from "./Writer.ts"

/**
 * A message began to arrive and was not complete within `frameTimeoutMillis`.
 *
 * @category errors
 * @since 0.1.0
 */
export class FrameTimeout extends Schema.TaggedError<FrameTimeout>()("FrameTimeout", {
  frameTimeoutMillis: Schema.Finite
}) {
  override get message() {
    return `A message took longer than ${this.frameTimeoutMillis} ms to arrive (frameTimeoutMillis)`
  }
}

/**
 * Settings of a framed connection.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options extends Writer.Options {
  /**
   * How long a message may take to arrive, from its first byte to its last, in milliseconds. Default
   * `Infinity`. Time in which the consumer does not pull does not count.
   */
  readonly frameTimeoutMillis?: number | undefined
  /**
   * Accounts for the bytes that are held for an incomplete message, and may refuse more. Default: no limit.
   */
  readonly account?: Account | undefined
  /** Whether an oversized message may be skipped, see {@link Codec}. Default: always. */
  readonly skips?: (() => boolean) | undefined
}

/**
 * A connection's share of an account of bytes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Account {
  /** Sets the number of held bytes. False if there is no room for them. */
  readonly resize: (bytes: number) => boolean
}

/**
 * The memory of an incomplete message would exceed its account.
 *
 * @category errors
 * @since 0.1.0
 */
export class BufferLimit extends Schema.TaggedError<BufferLimit>()("BufferLimit", {}) {
  override get message() {
    return "A message would hold more memory than is left for messages that are not complete"
  }
}

/**
 * The messages completed by one read.
 *
 * @category models
 * @since 0.1.0
 */
export type Batch<In> = Arr.NonEmptyReadonlyArray<In>

/**
 * The reason why reading ended: the decoder or the socket failed, or a message came too slowly or took too
 * much memory.
 *
 * @category errors
 * @since 0.1.0
 */
export type ReadError<E> = E | Socket.SocketError | FrameTimeout | BufferLimit

/**
 * A connection of a protocol: reads messages of type `In` and writes those of type `Out`.
 *
 * @category models
 * @since 0.1.0
 */
export interface FramedConnection<In, Out, E> {
  /**
   * The arriving messages, in batches: the messages completed by one read.
   *
   * **Details**
   *
   * Ends when the peer has closed at the end of a message. One consumer pulls at a time; a consumer that does
   * not pull exerts back-pressure on the peer.
   */
  readonly messages: Stream.Stream<In, ReadError<E>>
  readonly writer: Writer.Writer<Out>
  /** Stops reading: ends `messages`, for a waiting consumer and for every later one. */
  readonly stop: () => void
  /** The time at which bytes last arrived, in milliseconds of the timers. */
  readonly lastReadAt: () => number
  readonly bytesRead: () => number
  readonly messagesRead: () => number
  /** The number of bytes held for an incomplete message. */
  readonly buffered: () => number
}

/**
 * Starts the protocol of a codec on a transport. The scope owns the timers, unless they are shared. Dies with a
 * `RangeError` that names an invalid setting.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <In, Out, E>(
  transport: Transport.Transport,
  codec: Codec<In, Out, E>,
  options: Options
): Effect.Effect<FramedConnection<In, Out, E>, never, Scope.Scope> =>
  Effect.flatMap(Timers.use, (timers) =>
    Effect.flatMap(Writer.make(transport, codec, timers, options), (writer) => {
      Limit.settings("a framed connection", options, checks)
      const decoder = codec.makeDecoder(options.skips)
      const reader = new Reader<In, Out, E>(transport, decoder, writer, timers, options)
      return Effect.as(
        Effect.flatMap(Effect.scope, (scope) => reader.endWith(scope)),
        reader
      )
    })
  )

const checks: Limit.Checks<Options> = {
  // Checked where they are used.
  writeTimeoutMillis: Limit.any,
  frameTimeoutMillis: Limit.any,
  account: (name, given: Account) =>
    typeof given?.resize === "function" || Limit.fail(name, "an Account", given),
  skips: Limit.callback
}

type Next<In, E> = Exit.Exit<Batch<In>, E | Cause.Done>

class Reader<In, Out, E> implements FramedConnection<In, Out, E>, Transport.Receiver {
  readonly writer: Writer.Writer<Out>
  private readonly transport: Transport.Transport
  private readonly decoder: Decoder<In, E>
  private readonly timers: Timers.Timers
  private readonly frameTimeoutMillis: number
  private readonly account: Account | undefined
  private deadline: Timers.Deadline | undefined
  private isReading = false
  private isPaused = false
  private held: Batch<In> | undefined
  private end: Exit.Exit<never, ReadError<E> | Cause.Done> | undefined
  private waiter: ((next: Next<In, ReadError<E>>) => void) | undefined
  private lastAt: number
  private bytes = 0
  private count = 0

  constructor(
    transport: Transport.Transport,
    decoder: Decoder<In, E>,
    writer: Writer.Writer<Out>,
    timers: Timers.Timers,
    { account, frameTimeoutMillis = Timers.never }: Options
  ) {
    this.transport = transport
    this.decoder = decoder
    this.writer = writer
    this.timers = timers
    this.frameTimeoutMillis = Limit.millis("frameTimeoutMillis", frameTimeoutMillis)
    this.account = account
    this.lastAt = timers.now()
  }

  get messages(): Stream.Stream<In, ReadError<E>> {
    return Stream.fromPull(Effect.succeed(this.pull))
  }

  private get pull(): Pull.Pull<Batch<In>, ReadError<E>> {
    return Effect.callback((resume) => {
      if (this.waiter !== undefined) throw new Error("The messages of a connection have one reader")
      const ready = this.ready()
      if (ready !== undefined) return resume(ready)
      this.waiter = resume
      this.read()
      return this.leave
    })
  }

  private get leave(): Effect.Effect<void> {
    return Effect.sync(() => {
      this.waiter = undefined
      this.pause()
    })
  }

  private read(): void {
    // Time without a consumer does not count for the peer.
    if (this.isPaused && this.decoder.partial) this.began(this.timers.now())
    if (this.isPaused) {
      this.isPaused = false
      this.transport.resume()
    } else if (!this.isReading) {
      this.isReading = true
      this.transport.read(this)
    }
  }

  private pause(): void {
    if (this.isPaused || !this.isReading) return
    this.isPaused = true
    this.transport.pause()
  }

  private ready(): Next<In, ReadError<E>> | undefined {
    const { held } = this
    if (held === undefined) return this.end
    this.held = undefined
    return Exit.succeed(held)
  }

  private give(): void {
    const { waiter } = this
    const ready = waiter === undefined ? undefined : this.ready()
    if (waiter === undefined || ready === undefined) return
    this.waiter = undefined
    waiter(ready)
    // If the consumer pulls again at once, the transport goes on reading without a pause.
    if (this.waiter === undefined) this.pause()
  }

  received(chunks: Transport.Chunks): void {
    if (this.end !== undefined) {
      chunks.forEach(Chunk.release)
      return
    }
    this.lastAt = this.timers.now()
    const messages: Array<In> = []
    const before = this.decoder.partial
    let failure: E | undefined
    for (const chunk of chunks) {
      this.bytes += chunk.length
      failure = this.decoder.push(chunk, messages)
    }
    this.count += messages.length
    const { partial } = this.decoder
    if (partial && (!before || messages.length > 0)) this.began(this.lastAt)
    // Before the messages are emitted: from then on their consumer accounts for their memory.
    const fits = !(partial || before) || this.account?.resize(this.decoder.buffered) !== false
    // Messages before a malformed one are valid.
    if (Arr.isArrayNonEmpty(messages)) {
      this.held = this.held === undefined ? messages : Arr.appendAll(this.held, messages)
    }
    if (failure !== undefined) this.finish(Exit.fail(failure))
    else if (!fits) this.finish(Exit.fail(new BufferLimit()))
    else this.give()
  }

  /** A message has begun to arrive, or reading of its rest has resumed. */
  private began(now: number): void {
    if (this.frameTimeoutMillis === Timers.never) return
    this.deadline ??= this.timers.deadline(() => this.expired())
    this.deadline.set(now + this.frameTimeoutMillis)
  }

  private expired(): void {
    if (!this.decoder.partial || this.waiter === undefined) return
    this.finish(Exit.fail(new FrameTimeout({ frameTimeoutMillis: this.frameTimeoutMillis })))
  }

  ended(cause: Cause.Cause<Socket.SocketError>): void {
    const error = Cause.findErrorOption(cause)
    const isClean = error._tag === "Some" && isCleanClose(error.value)
    this.finish(isClean ? Exit.fail(this.decoder.end() ?? Cause.Done()) : Exit.failCause(cause))
  }

  private finish(end: Exit.Exit<never, ReadError<E> | Cause.Done>): void {
    this.end ??= end
    this.deadline?.clear()
    this.account?.resize(0)
    this.give()
  }

  stop(): void {
    // Messages that were not emitted yet are dropped.
    this.held = undefined
    this.pause()
    this.finish(Exit.fail(Cause.Done()))
  }

  endWith(scope: Scope.Scope): Effect.Effect<void> {
    return Scope.addFinalizerExit(scope, () =>
      Effect.sync(() => {
        this.stop()
        this.writer.release()
      })
    )
  }

  lastReadAt(): number {
    return this.lastAt
  }
  bytesRead(): number {
    return this.bytes
  }
  messagesRead(): number {
    return this.count
  }
  buffered(): number {
    return this.decoder.buffered
  }
}

const isCleanClose = (error: Socket.SocketError): boolean =>
  error.reason._tag === "SocketCloseError" && error.reason.code === 1000

/**
 * The text of a read failure.
 *
 * @category formatting
 * @since 0.1.0
 */
export const describe = (error: ReadError<{ readonly message: string }>): string =>
  "_tag" in error && error._tag === "SocketError"
    ? Writer.describe(error as Socket.SocketError)
    : error.message
