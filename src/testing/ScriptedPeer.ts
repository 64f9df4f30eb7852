/**
 * The other end of a connection as a script: the messages that it expects and sends.
 *
 * **When to use**
 *
 * To test one end by itself, a client against a scripted server or a server against a scripted client. The
 * bytes on the wire are written out, and may include messages that a real end never sends.
 *
 * **Details**
 *
 * A message is a text: its letter (`PROTOCOL.md` §1), and after a space its body if it has one, as in `"R
 * SELECT 1"`, `"A yes"`, `"F"`.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as Message from "../protocol/Message.ts"
import * as Limit from "../settings/Limit.ts"

/**
 * Another message arrived than the script expects, or none.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unexpected extends Schema.TaggedError<Unexpected>()("Unexpected", {
  expected: Schema.String,
  actual: Schema.String
}) {
  override get message() {
    return `Expected ${this.expected}, but got ${this.actual}`
  }
}

/**
 * The socket did not take the script's bytes.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotSent extends Schema.TaggedError<NotSent>()("NotSent", {
  what: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `Could not send ${this.what}: ${this.detail}`
  }
}

/**
 * The conversation left the script. `conversation` contains the last messages of both directions.
 *
 * @category errors
 * @since 0.1.0
 */
export class ScriptedPeerError extends Schema.TaggedError<ScriptedPeerError>()("ScriptedPeerError", {
  reason: Schema.Union([Unexpected, NotSent]),
  conversation: Schema.Array(Schema.String)
}) {
  override get message() {
    const lines = this.conversation.length === 0 ? ["(nothing was said)"] : this.conversation
    return [this.reason.message, ...lines.map((line) => `  ${line}`)].join("\n")
  }
}

/**
 * A peer that follows a script.
 *
 * @category models
 * @since 0.1.0
 */
export interface ScriptedPeer {
  /**
   * Waits for the next messages, which must be these. `"closed"` and `"reset"` stand for the end of the
   * connection.
   */
  readonly expect: (...messages: ReadonlyArray<string>) => Effect.Effect<void, ScriptedPeerError>
  /** Sends the messages in one write. */
  readonly send: (...messages: ReadonlyArray<string>) => Effect.Effect<void, ScriptedPeerError>
  /** Sends bytes that need not be a message. */
  readonly sendBytes: (bytes: Uint8Array) => Effect.Effect<void, ScriptedPeerError>
  /** Closes the connection. */
  readonly close: Effect.Effect<void, ScriptedPeerError>
  /** Resets the connection: the other end fails to read. */
  readonly reset: Effect.Effect<void, ScriptedPeerError>
}

/**
 * Settings of a scripted peer.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options extends Partial<Message.Options> {
  /** How long an expected message may take on the Clock. Default infinite. */
  readonly patience?: Duration.Input | undefined
  /** The number of messages that an error shows. Default 10. */
  readonly shown?: number | undefined
}

const checks: Limit.Checks<Options> = {
  // The codec checks these two.
  lengthCounts: Limit.any,
  maxFrameSize: Limit.any,
  patience: (name, given: Duration.Input) => Limit.duration(name, given, true),
  shown: (name, given: number) => Limit.count(name, given, 0)
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/**
 * The frame of a text.
 *
 * **Gotchas**
 *
 * A body of a type without a body throws, as a programming error; `sendBytes` sends anything.
 *
 * @category messages
 * @since 0.1.0
 */
export const frame = (message: string): Message.Message =>
  Message.make(message.charCodeAt(0) as Message.Type, encoder.encode(message.slice(2)))

/**
 * The text of a frame.
 *
 * @category messages
 * @since 0.1.0
 */
export const show = ({ body, type }: Message.Message): string =>
  body.length === 0 ? Message.letter(type) : `${Message.letter(type)} ${decoder.decode(body)}`

const longest = 100

const clip = (message: string): string =>
  message.length <= longest ? message : `${message.slice(0, longest)}… (${message.length} characters)`

/**
 * Opens the socket. The scope owns it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  socket: Socket.Socket,
  options: Options = {}
): Effect.fn.Return<ScriptedPeer, Socket.SocketError, Scope.Scope> {
  const {
    patience = Duration.infinity,
    shown = 10,
    ...settings
  } = Limit.settings("a scripted peer", options, checks)
  const wire: Message.Options = {
    ...Message.defaultOptions,
    maxFrameSize: Number.POSITIVE_INFINITY,
    ...settings
  }
  const pull = yield* Socket.readerBytes(socket)
  const writer = yield* socket.writer
  const frames = Message.codec(wire).makeDecoder()
  const pending: Array<Message.Message> = []
  const conversation: Array<string> = []
  let malformed: string | undefined

  const note = (line: string) => {
    conversation.push(clip(line))
    if (conversation.length > shown) conversation.shift()
  }
  const leave = (reason: ScriptedPeerError["reason"]) =>
    Effect.fail(new ScriptedPeerError({ reason, conversation: [...conversation] }))

  const next: Effect.Effect<string> = Effect.suspend(() => {
    const first = pending.shift()
    if (first !== undefined) return Effect.succeed(show(first))
    if (malformed !== undefined) return Effect.succeed(malformed)
    return Effect.matchEffect(pull, {
      onSuccess: (chunks) => {
        for (const chunk of chunks) {
          const error = frames.push(chunk, pending)
          if (error !== undefined) malformed ??= `malformed bytes: ${error.message}`
        }
        return next
      },
      onFailure: ({ reason }) => Effect.succeed(reason._tag === "SocketCloseError" ? "closed" : "reset")
    })
  })

  const nothing = `nothing for ${Duration.format(Duration.fromInputUnsafe(patience))}`

  const expectOne = Effect.fnUntraced(function* (expected: string) {
    const actual = yield* Effect.timeoutOrElse(next, {
      duration: patience,
      orElse: () => Effect.succeed(nothing)
    })
    note(`← ${actual}`)
    if (actual === expected) return
    return yield* leave(new Unexpected({ expected: clip(expected), actual: clip(actual) }))
  })

  const write = (what: string, sending: Effect.Effect<void, Socket.SocketError>) =>
    Effect.catch(sending, ({ reason }) => leave(new NotSent({ what: clip(what), detail: reason.message })))

  return {
    expect: (...messages) => Effect.forEach(messages, expectOne, { discard: true }),
    send: (...messages) =>
      Effect.gen(function* () {
        const [first, ...rest] = messages.map((message) => Message.encode(frame(message), wire))
        if (first === undefined) return
        yield* write(messages.join(", "), writer.writeAll([first, ...rest]))
        for (const message of messages) note(`→ ${message}`)
      }),
    sendBytes: (raw) =>
      Effect.andThen(
        write(`${raw.length} bytes`, writer.write(raw)),
        Effect.sync(() => note(`→ ${raw.length} bytes`))
      ),
    close: Effect.andThen(
      write("the close", writer.write(new Socket.CloseEvent(1000))),
      Effect.sync(() => note("→ closed"))
    ),
    reset: Effect.andThen(
      write("the reset", writer.write(new Socket.CloseEvent(1006))),
      Effect.sync(() => note("→ reset"))
    )
  }
})
