import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"
import * as ScriptedPeer from "../../src/testing/ScriptedPeer.ts"

const open = Effect.fnUntraced(function* (options?: ScriptedPeer.Options) {
  const [near, far] = yield* MemorySocket.pair()
  return { client: yield* ScriptedPeer.make(near, options), server: yield* ScriptedPeer.make(far, options) }
})

describe("ScriptedPeer", () => {
  it.effect("plays either end of a conversation", () =>
    Effect.gen(function* () {
      const { client, server } = yield* open()
      yield* client.send("R one")
      yield* server.expect("R one")
      yield* server.send("A yes", "I abc", "F")
      yield* client.expect("A yes", "I abc")
      yield* client.expect("F")
      yield* server.close
      yield* client.expect("closed")
    })
  )

  it.effect("shows the conversation when it leaves the script", () =>
    Effect.gen(function* () {
      const { client, server } = yield* open()
      yield* client.send("R one")
      yield* server.expect("R one")
      yield* server.send("A yes", "J no")
      const error = yield* Effect.flip(client.expect("A yes", "I abc"))
      assert.strictEqual(error.message, "Expected I abc, but got J no\n  → R one\n  ← A yes\n  ← J no")
    })
  )

  it.effect("shows no more than the last messages, and no more of each than its beginning", () =>
    Effect.gen(function* () {
      const { client, server } = yield* open({ shown: 2 })
      yield* server.send("H", "H", `I ${"x".repeat(1000)}`)
      const error = yield* Effect.flip(client.expect("H", "H", "F"))
      assert.strictEqual(error.conversation.length, 2)
      assert.isBelow(error.message.length, 400)
      assert.include(error.message, "characters)")
    })
  )

  it.effect("tells the ends of a connection, and bytes that are no message, from messages", () =>
    Effect.gen(function* () {
      const first = yield* open()
      yield* first.server.reset
      yield* first.client.expect("reset")
      const second = yield* open()
      yield* second.server.sendBytes(new Uint8Array([0, 0, 0, 0, 0x7a]))
      const error = yield* Effect.flip(second.client.expect("F"))
      assert.include(error.message, "malformed bytes")
    })
  )

  it.effect("waits no longer than its patience on the Clock", () =>
    Effect.gen(function* () {
      const { client } = yield* open({ patience: "5 seconds" })
      const fiber = yield* Effect.forkChild(Effect.flip(client.expect("A")))
      yield* TestClock.adjust("5 seconds")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error.reason.message, "Expected A, but got nothing for 5s")
    })
  )

  it.effect("fails to send to an end that is gone", () =>
    Effect.gen(function* () {
      const { client, server } = yield* open()
      yield* server.close
      const error = yield* Effect.flip(client.send("R one"))
      assert.strictEqual(error.reason._tag, "NotSent")
    })
  )
})
