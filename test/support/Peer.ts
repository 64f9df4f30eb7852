/**
 * A hand-driven client: sends frames as they are and takes what comes, one frame at a time.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import * as Frame from "../../src/wire/Frame.ts"
import * as FrameSocket from "../../src/wire/FrameSocket.ts"

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export interface Peer {
  readonly send: (...frames: ReadonlyArray<Frame.Frame>) => Effect.Effect<void>
  readonly request: (body: string) => Effect.Effect<void>
  readonly cancel: Effect.Effect<void>
  /** The next frame as text: its letter, and its body where there is one. `"closed"` at the end. */
  readonly next: Effect.Effect<string>
  /** The next `n` of them. */
  readonly take: (n: number) => Effect.Effect<Array<string>>
  readonly close: Effect.Effect<void>
}

export const show = (frame: Frame.Frame): string =>
  frame.body.length === 0
    ? Frame.letter(frame.type)
    : `${Frame.letter(frame.type)} ${decoder.decode(frame.body)}`

export const request = (body: string): Frame.Frame => Frame.make(Frame.Type.Request, encoder.encode(body))

export const cancel: Frame.Frame = Frame.make(Frame.Type.Cancel)

export const make = Effect.fnUntraced(function* (
  socket: Socket.Socket
): Effect.fn.Return<Peer, Socket.SocketError, Scope.Scope> {
  const frames = yield* FrameSocket.make(socket, {
    ...Frame.defaultOptions,
    writeTimeoutMillis: Number.POSITIVE_INFINITY
  })
  const pending: Array<Frame.Frame> = []
  const next: Effect.Effect<string> = Effect.suspend(() => {
    const frame = pending.shift()
    if (frame !== undefined) return Effect.succeed(show(frame))
    return Effect.matchEffect(frames.pull, {
      onSuccess: (batch) => {
        pending.push(...batch)
        return next
      },
      onFailure: () => Effect.succeed("closed")
    })
  })
  const send = (...batch: ReadonlyArray<Frame.Frame>) => Effect.orDie(frames.writer.write(() => batch))
  return {
    send,
    request: (body) => send(request(body)),
    cancel: send(cancel),
    next,
    take: (n) => Effect.replicateEffect(next, n),
    close: frames.writer.destroy
  }
})
