/**
 * Frames over a transport: what arrives as whole frames, a batch for each read, and the writer.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Socket from "effect/socket/Socket"
import * as Frame from "./Frame.ts"
import * as FrameWriter from "./FrameWriter.ts"
import type * as Transport from "./Transport.ts"

/** Whether bodies are copied is the transport's to say. */
export interface Options extends FrameWriter.Options, Omit<Frame.DecoderOptions, "copyBodies"> {
  /** Called when bytes have arrived, before their frames are given to anybody. */
  readonly onRead?: (() => void) | undefined
}

export type Frames = Arr.NonEmptyReadonlyArray<Frame.Frame>

/** Why nothing more is read. `Done`: the peer closed at the end of a frame. */
export type ReadError = Frame.FrameError | Socket.SocketError | Cause.Done

/** Whoever is given the frames that arrive. */
export interface Reader {
  /** The frames that one read completed. */
  readonly received: (frames: Frames) => void
  /** A frame has begun to arrive and is not complete, or nothing is left of one. */
  readonly partial?: (partial: boolean) => void
  /** How much memory a frame that is not complete takes, in bytes; 0 once there is none. */
  readonly buffered?: (bytes: number) => void
  /** Nothing follows. What `received` throws ends the reading too. */
  readonly ended: (cause: Cause.Cause<ReadError>) => void
}

export interface FrameSocket {
  /** Gives all frames to the reader from now on, as they arrive. To be called once, or else `pull`. */
  readonly read: (reader: Reader) => void
  /** Reads nothing more. */
  readonly stop: () => void
  /**
   * The next frames, as many as one read brought.
   *
   * **Details**
   *
   * Completes with `Done` when the peer closed at the end of a frame. A consumer that does not pull holds the
   * peer back.
   */
  readonly pull: Pull.Pull<Frames, Frame.FrameError | Socket.SocketError>
  /** The same as a stream. Pull from one of the two only. */
  readonly frames: Stream.Stream<Frame.Frame, Frame.FrameError | Socket.SocketError>
  readonly writer: FrameWriter.FrameWriter
  readonly bytesRead: () => number
  readonly messagesRead: () => number
}

/** How the input of a connection ended. */
export type InputEnd =
  | { readonly _tag: "PeerClosed" }
  | { readonly _tag: "ReadFailed"; readonly detail: string }
  | { readonly _tag: "Malformed"; readonly detail: string }

/** What the failure of a pull says of the connection. An end inside a frame is a failed read. */
export const inputEnd = (cause: Cause.Cause<ReadError>): InputEnd => {
  const error = Cause.findErrorOption(cause)
  if (error._tag === "None") return { _tag: "ReadFailed", detail: String(Cause.squash(cause)) }
  switch (error.value._tag) {
    case "Done":
      return { _tag: "PeerClosed" }
    case "SocketError":
      return { _tag: "ReadFailed", detail: FrameWriter.describe(error.value) }
    case "FrameError":
      return error.value.reason._tag === "EndInsideFrame"
        ? { _tag: "ReadFailed", detail: error.value.message }
        : { _tag: "Malformed", detail: error.value.message }
  }
}

const isCleanClose = (error: Socket.SocketError): boolean =>
  error.reason._tag === "SocketCloseError" && error.reason.code === 1000

/** Speaks frames over a transport. The scope owns what the writer starts. */
export const make = Effect.fnUntraced(function* (
  transport: Transport.Transport,
  options: Options
): Effect.fn.Return<FrameSocket, never, Scope.Scope> {
  return new Decoding(transport, options, yield* FrameWriter.make(transport, options))
})

class Decoding implements FrameSocket, Transport.Receiver {
  readonly writer: FrameWriter.FrameWriter
  private readonly transport: Transport.Transport
  private readonly options: Options
  private readonly decoder: Frame.Decoder
  private reader: Reader | undefined
  private puller: Puller | undefined
  private bytes = 0
  private messages = 0

  constructor(transport: Transport.Transport, options: Options, writer: FrameWriter.FrameWriter) {
    this.transport = transport
    this.options = options
    this.writer = writer
    this.decoder = Frame.makeDecoder({ ...options, copyBodies: transport.lends })
  }

  read(reader: Reader): void {
    this.reader = reader
    this.transport.read(this)
  }

  stop(): void {
    this.reader = undefined
    this.transport.pause()
  }

  received(chunks: Transport.Chunks): void {
    this.options.onRead?.()
    const frames: Array<Frame.Frame> = []
    const before = this.decoder.partial
    let failure: Frame.FrameError | undefined
    for (const chunk of chunks) {
      this.bytes += chunk.length
      failure ??= this.decoder.push(chunk, frames)
    }
    this.messages += frames.length
    const { partial } = this.decoder
    if (partial ? !before || frames.length > 0 : before) this.reader?.partial?.(partial)
    // Before the frames are given, whose memory is their receiver's to count from then on.
    if (partial || before) this.reader?.buffered?.(this.decoder.bufferedCapacity)
    if (Arr.isArrayNonEmpty(frames)) this.give(frames)
    // The frames before a malformed one are still good.
    if (failure !== undefined) this.end(Cause.fail(failure))
  }

  private give(frames: Frames): void {
    try {
      this.reader?.received(frames)
    } catch (defect) {
      this.end(Cause.die(defect))
    }
  }

  ended(cause: Cause.Cause<Socket.SocketError>): void {
    const error = Cause.findErrorOption(cause)
    const clean = error._tag === "Some" && isCleanClose(error.value)
    this.end(clean ? Cause.fail(this.decoder.end() ?? Cause.Done()) : cause)
  }

  private end(cause: Cause.Cause<ReadError>): void {
    const { reader } = this
    this.stop()
    reader?.ended(cause)
  }

  get pull(): FrameSocket["pull"] {
    this.puller ??= new Puller(this, this.transport)
    return this.puller.pull
  }
  get frames(): FrameSocket["frames"] {
    return Stream.fromPull(Effect.succeed(this.pull))
  }
  bytesRead(): number {
    return this.bytes
  }
  messagesRead(): number {
    return this.messages
  }
}

/** A reader that is asked: the transport goes on only while somebody waits. */
class Puller implements Reader {
  private readonly socket: Pick<FrameSocket, "read">
  private readonly transport: Transport.Transport
  private reading = false
  private held: Frames | undefined
  private end: Exit.Exit<never, ReadError> | undefined
  private waiter: ((exit: Exit.Exit<Frames, ReadError>) => void) | undefined

  constructor(socket: Pick<FrameSocket, "read">, transport: Transport.Transport) {
    this.socket = socket
    this.transport = transport
  }

  readonly pull: Effect.Effect<Frames, ReadError> = Effect.callback((resume) => {
    this.waiter = resume
    this.hand()
    if (this.waiter === undefined) return undefined
    this.go()
    return Effect.sync(() => {
      this.waiter = undefined
    })
  })

  private go(): void {
    this.transport.resume()
    if (this.reading) return
    this.reading = true
    this.socket.read(this)
  }

  received(frames: Frames): void {
    this.transport.pause()
    this.held = frames
    this.hand()
  }

  ended(cause: Cause.Cause<ReadError>): void {
    this.end = Exit.failCause(cause)
    this.hand()
  }

  private hand(): void {
    const { held, waiter } = this
    const ready = held === undefined ? this.end : Exit.succeed(held)
    if (waiter === undefined || ready === undefined) return
    this.waiter = undefined
    this.held = undefined
    waiter(ready)
  }
}
