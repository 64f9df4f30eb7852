/**
 * A hand-driven server: takes what the client sends, one frame at a time, and sends frames as they are.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Socket from "effect/socket/Socket"
import * as FramedConnection from "../../src/framing/FramedConnection.ts"
import * as Transport from "../../src/net/Transport.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as Peer from "./Peer.ts"

const encoder = new TextEncoder()

export interface ServerPeer {
  /** Sends frames in one write, given as `Peer.show` has them: `"A yes"`, `"I abc"`, `"K"`. */
  readonly send: (...frames: ReadonlyArray<string>) => Effect.Effect<void>
  /** Sends bytes that need be no frames. */
  readonly sendBytes: (bytes: Uint8Array) => Effect.Effect<void>
  /** The next frame of the client as text; `"closed"` at the end. */
  readonly next: Effect.Effect<string>
  /** How many bytes the socket has taken from `send`. */
  readonly bytesWritten: () => number
  readonly close: Effect.Effect<void>
}

/** The frame that `Peer.show` shows so. */
export const frame = (text: string): Message.Message =>
  Message.make(text.charCodeAt(0) as Message.Type, encoder.encode(text.slice(2)))

export const make = Effect.fnUntraced(function* (
  socket: Socket.Socket
): Effect.fn.Return<ServerPeer, Socket.SocketError, Scope.Scope> {
  const frames = yield* FramedConnection.make(yield* Transport.fromSocket(socket), Message.codec(), {
    writeTimeoutMillis: Number.POSITIVE_INFINITY
  })
  const pull = yield* Stream.toPull(frames.messages)
  const raw = yield* socket.writer
  const pending: Array<Message.Message> = []
  const next: Effect.Effect<string> = Effect.suspend(() => {
    const first = pending.shift()
    if (first !== undefined) return Effect.succeed(Peer.show(first))
    return Effect.matchEffect(pull, {
      onSuccess: (batch) => {
        pending.push(...batch)
        return next
      },
      onFailure: () => Effect.succeed("closed")
    })
  })
  return {
    send: (...texts) => Effect.orDie(frames.writer.write(() => texts.map(frame))),
    sendBytes: (bytes) => Effect.orDie(raw.write(bytes)),
    next,
    bytesWritten: () => frames.writer.bytesWritten(),
    close: Effect.ignore(raw.write(new Socket.CloseEvent(1000)))
  }
})
