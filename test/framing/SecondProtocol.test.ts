/**
 * A second protocol over the parts that DataConn is made of: lines of text, each behind a length of two bytes, big
 * endian, without a type. It knows of DataConn what `dataconn/toolbox` exports.
 */
import * as Net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { FramedConnection, LengthDelimited, Tcp, Transport } from "dataconn/toolbox"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"

const codec = LengthDelimited.codec({
  fieldWidth: 2,
  byteOrder: "big",
  typeBytes: 0,
  lengthCounts: "body",
  maxFrameSize: 1024
})

const speak = (transport: Transport.Transport) =>
  FramedConnection.make(transport, codec, { writeTimeoutMillis: 1000 })

const line = (text: string): LengthDelimited.Frame => ({ type: 0, body: new TextEncoder().encode(text) })
const textOf = ({ body }: LengthDelimited.Frame) => new TextDecoder().decode(body)

/** Answers each line with the same in capitals, until the peer closes. */
const shout = (transport: Transport.Transport) =>
  Effect.flatMap(speak(transport), ({ messages, writer }) =>
    Stream.runForEach(messages, (message) => writer.write(() => [line(textOf(message).toUpperCase())]))
  )

/** Sends lines, and takes as many answers. */
const ask = (transport: Transport.Transport, ...lines: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { messages, writer } = yield* speak(transport)
    yield* writer.write(() => lines.map(line))
    const answers = yield* Stream.runCollect(Stream.take(messages, lines.length))
    return answers.map(textOf)
  })

const lines = ["a", "", "two words", "ü".repeat(400)]
const capitals = ["A", "", "TWO WORDS", "Ü".repeat(400)]

describe("another protocol", () => {
  it.effect("is spoken in memory", () =>
    Effect.gen(function* () {
      const [near, far] = yield* MemorySocket.pair()
      yield* Effect.forkScoped(shout(yield* Transport.fromSocket(far)))
      assert.deepStrictEqual(yield* ask(yield* Transport.fromSocket(near), ...lines), capitals)
    })
  )

  it.live("is spoken over TCP", () =>
    Effect.gen(function* () {
      const server = Net.createServer({ pauseOnConnect: true })
      yield* Effect.addFinalizer(() => Effect.sync(() => server.close()))
      const accepted = Effect.callback<Net.Socket>((resume) => {
        server.once("connection", (socket) => resume(Effect.succeed(socket)))
      })
      yield* Effect.forkScoped(Effect.flatMap(Effect.flatMap(accepted, Tcp.fromSocket), shout), {
        startImmediately: true
      })
      yield* Effect.callback<void>((resume) => {
        server.listen(0, "127.0.0.1", () => resume(Effect.void))
      })
      const { port } = server.address() as Net.AddressInfo
      const address = { _tag: "Tcp", host: "127.0.0.1", port } as const
      const transport = yield* Tcp.connect({ address, timeout: "10 seconds" })
      assert.deepStrictEqual(yield* ask(transport, ...lines), capitals)
    })
  )

  it.effect("has errors that name the setting to change", () =>
    Effect.gen(function* () {
      const [near, far] = yield* MemorySocket.pair()
      const { messages } = yield* speak(yield* Transport.fromSocket(far))
      const { writer } = yield* speak(yield* Transport.fromSocket(near))
      yield* writer.write(() => [line("x".repeat(1023))])
      const error = yield* Effect.flip(Stream.runDrain(messages))
      assert.strictEqual(error._tag, "MaxSizeTooShortForPayload")
      assert.include(error.message, "raise maxFrameSize")
    })
  )
})
