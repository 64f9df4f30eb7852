/**
 * Frames over any Effect `Socket`: whole batches to pull, and the writer.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Socket from "effect/socket/Socket"
import * as Frame from "./Frame.ts"
import * as FrameWriter from "./FrameWriter.ts"

export interface Options extends FrameWriter.Options, Frame.DecoderOptions {
  /** Called when a frame has begun to arrive and is not complete, and when nothing is left of it. */
  readonly onPartial?: ((partial: boolean) => void) | undefined
}

export interface FrameSocket {
  /**
   * The next frames, as many as one read brought.
   *
   * **Details**
   *
   * Completes with `Done` when the peer closed at the end of a frame. Nothing is read from the socket
   * between pulls, so a consumer that does not pull holds the peer back.
   */
  readonly pull: Pull.Pull<NonEmptyReadonlyArray<Frame.Frame>, Frame.FrameError | Socket.SocketError>
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
export const inputEnd = (
  cause: Cause.Cause<Frame.FrameError | Socket.SocketError | Cause.Done>
): InputEnd => {
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

/**
 * Opens the socket's reader and writer and speaks frames over them. The scope owns both.
 */
export const make = Effect.fnUntraced(function* (
  socket: Socket.Socket,
  options: Options
): Effect.fn.Return<FrameSocket, Socket.SocketError, Scope.Scope> {
  const pullBytes = yield* Socket.readerBytes(socket)
  const writer = yield* FrameWriter.make(socket, options)
  const decoder = Frame.makeDecoder(options)

  let bytesRead = 0
  let messagesRead = 0
  let failure: Frame.FrameError | undefined

  const decode = (
    chunks: NonEmptyReadonlyArray<Uint8Array>
  ): Pull.Pull<NonEmptyReadonlyArray<Frame.Frame>, Frame.FrameError | Socket.SocketError> => {
    const frames: Array<Frame.Frame> = []
    const before = decoder.partial
    for (const chunk of chunks) {
      bytesRead += chunk.length
      failure ??= decoder.push(chunk, frames)
    }
    messagesRead += frames.length
    const partial = decoder.partial
    if (partial ? !before || frames.length > 0 : before) options.onPartial?.(partial)
    // The frames before a malformed one are still good; its error comes with the next pull.
    return frames.length > 0 ? Effect.succeed(frames as unknown as NonEmptyReadonlyArray<Frame.Frame>) : pull
  }

  const ended = (
    error: Socket.SocketError
  ): Pull.Pull<NonEmptyReadonlyArray<Frame.Frame>, Frame.FrameError | Socket.SocketError> => {
    if (!isCleanClose(error)) return Effect.fail(error)
    const inside = decoder.end()
    return inside === undefined ? Cause.done() : Effect.fail(inside)
  }

  const pull: FrameSocket["pull"] = Effect.suspend(() =>
    failure === undefined
      ? Effect.matchEffect(pullBytes, { onSuccess: decode, onFailure: ended })
      : Effect.fail(failure)
  )

  return {
    pull,
    frames: Stream.fromPull(Effect.succeed(pull)),
    writer,
    bytesRead: () => bytesRead,
    messagesRead: () => messagesRead
  }
})
