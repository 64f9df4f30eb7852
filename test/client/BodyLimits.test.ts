import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as Client from "../../src/client/Client.ts"
import type { Settings } from "../../src/client/Settings.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"
import { failure } from "../support/Failure.ts"
import * as ServerPeer from "../support/ServerPeer.ts"

const open = Effect.fnUntraced(function* (settings?: Partial<Settings>) {
  const [near, far] = yield* MemorySocket.pair()
  const server = yield* ServerPeer.make(far)
  const client = yield* Client.make(near, settings, "server")
  return { client, server }
})

const request = new TextEncoder().encode("go")
const unlimited: Message.Options = { ...Message.defaultOptions, maxFrameSize: Number.POSITIVE_INFINITY }

/** The header of a message that announces a body of a gibibyte. */
const huge = (type: Message.Type) => Message.header(unlimited, type, 2 ** 30)

const cases = [
  { what: "an accept", type: Message.Type.Accept, before: [], setting: "maxAcceptSize" },
  { what: "a reject", type: Message.Type.Reject, before: [], setting: "maxErrorSize" },
  { what: "an error", type: Message.Type.Error, before: ["A yes", "I abc"], setting: "maxErrorSize" }
] as const

describe("a body that is too long", () => {
  it.effect.each(cases)("of $what fails the request with its header and names the setting", (given) =>
    Effect.gen(function* () {
      const { client, server } = yield* open()
      const result = client.request(request).pipe(
        Effect.flatMap(({ chunks }) => Stream.runDrain(chunks)),
        Effect.scoped,
        Effect.exit
      )
      const fiber = yield* Effect.forkChild(result)
      yield* server.next
      yield* server.send(...given.before)
      // No byte of the body follows.
      yield* server.sendBytes(huge(given.type))
      const exit = yield* Fiber.join(fiber)
      assert.strictEqual(failure(exit), "ClientError ProtocolViolation")
      assert.include(
        String(exit),
        `has a body of ${2 ** 30} bytes, but ${given.setting} is 1048576 bytes: raise ${given.setting}`
      )
      assert.strictEqual(yield* server.next, "closed")
    })
  )

  it.effect("of a chunk is none, for it is handed on as it arrives", () =>
    Effect.gen(function* () {
      const { client, server } = yield* open({ maxAcceptSize: 10, maxErrorSize: 10 })
      const text = "x".repeat(100_000)
      const fiber = yield* client.request(request).pipe(
        Effect.flatMap(({ chunks }) => Stream.mkString(Stream.decodeText(chunks))),
        Effect.scoped,
        Effect.forkChild
      )
      yield* server.next
      yield* server.send("A yes", `I ${text}`, "F")
      assert.strictEqual(yield* Fiber.join(fiber), text)
    })
  )

  it.effect("begins one byte above the limit", () =>
    Effect.gen(function* () {
      const { client, server } = yield* open({ maxAcceptSize: 3 })
      const first = yield* Effect.forkChild(Effect.scoped(client.request(request)))
      yield* server.next
      yield* server.send("A yes", "F")
      assert.strictEqual((yield* Fiber.join(first)).payload.length, 3)
      const second = yield* Effect.forkChild(Effect.exit(Effect.scoped(client.request(request))))
      yield* server.next
      yield* server.send("A yes!")
      assert.include(String(yield* Fiber.join(second)), "raise maxAcceptSize")
    })
  )
})
