/**
 * A hand-driven client: sends frames or bytes as they are and takes what comes, one frame at a time.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as Message from "../../src/protocol/Message.ts"

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export interface Peer {
  readonly send: (...frames: ReadonlyArray<Message.Message>) => Effect.Effect<void>
  readonly sendBytes: (bytes: Uint8Array) => Effect.Effect<void>
  readonly request: (body: string) => Effect.Effect<void>
  readonly cancel: Effect.Effect<void>
  /** The next frame as text: its letter, and its body where there is one. `"closed"` or `"reset"` at the end. */
  readonly next: Effect.Effect<string>
  /** The next `n` of them. */
  readonly take: (n: number) => Effect.Effect<Array<string>>
  /** All of them up to the end. */
  readonly rest: Effect.Effect<Array<string>>
  readonly close: Effect.Effect<void>
  /** Sends nothing more, but still reads. */
  readonly halfClose: Effect.Effect<void>
  readonly reset: Effect.Effect<void>
}

export const show = (frame: Message.Message): string =>
  frame.body.length === 0
    ? Message.letter(frame.type)
    : `${Message.letter(frame.type)} ${decoder.decode(frame.body)}`

export const request = (body: string): Message.Message =>
  Message.make(Message.Type.Request, encoder.encode(body))

export const cancel: Message.Message = Message.make(Message.Type.Cancel)

export const make = Effect.fnUntraced(function* (
  socket: Socket.Socket
): Effect.fn.Return<Peer, Socket.SocketError, Scope.Scope> {
  const { pull } = yield* socket.reader
  const writing = yield* Scope.fork(yield* Effect.scope)
  const writer = yield* Scope.provide(socket.writer, writing)
  const frames = Message.codec({
    ...Message.defaultOptions,
    maxFrameSize: Number.POSITIVE_INFINITY
  }).makeDecoder()
  const pending: Array<Message.Message> = []
  const next: Effect.Effect<string> = Effect.suspend(() => {
    const frame = pending.shift()
    if (frame !== undefined) return Effect.succeed(show(frame))
    return Effect.matchEffect(pull, {
      onSuccess: (batch) => {
        for (const bytes of batch) {
          const error = frames.push(bytes as Uint8Array, pending)
          if (error !== undefined) return Effect.die(error)
        }
        return next
      },
      onFailure: ({ reason }) => Effect.succeed(reason._tag === "SocketCloseError" ? "closed" : "reset")
    })
  })
  const rest = Effect.gen(function* () {
    const all: Array<string> = []
    while (true) {
      all.push(yield* next)
      if (["closed", "reset"].includes(all.at(-1) ?? "")) return all
    }
  })
  // A connection that the server has closed takes nothing more; what the server did shows in what comes back.
  const sendBytes = (bytes: Uint8Array) => Effect.ignore(writer.write(bytes))
  const send = (...batch: ReadonlyArray<Message.Message>) =>
    Effect.ignore(writer.writeAll(batch.map((frame) => Message.encode(frame)) as [Uint8Array]))
  return {
    send,
    sendBytes,
    request: (body) => send(request(body)),
    cancel: send(cancel),
    next,
    take: (n) => Effect.replicateEffect(next, n),
    rest,
    close: Effect.orDie(writer.write(new Socket.CloseEvent(1000))),
    halfClose: Scope.close(writing, Exit.void),
    reset: Effect.orDie(writer.write(new Socket.CloseEvent(1006)))
  }
})
