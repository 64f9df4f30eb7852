/**
 * Conversations byte by byte, written by hand after PROTOCOL.md. A line is what the client sends (`>`), what
 * the server must answer (`<`), what the engine does (`!`), or the end of the connection (`x`, with the reason).
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as TestClock from "effect/testing/TestClock"
import { QueryEngine } from "../../src/engine/QueryEngine.ts"
import * as Transport from "../../src/net/Transport.ts"
import * as Connection from "../../src/server/Connection.ts"
import * as Settings from "../../src/server/Settings.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"
import * as StepEngine from "../../src/testing/StepEngine.ts"

const conversations: Record<string, string> = {
  "R, A, I, F: a response": `
    > 05 00 00 00 52 68 65 6c 6c 6f      R "hello"
    ! accept yes
    < 03 00 00 00 41 79 65 73            A "yes"
    ! chunk a
    < 01 00 00 00 49 61                  I "a"
    ! end
    < 00 00 00 00 46                     F ""`,
  "A, F: a result that is ready at once": `
    ! accept yes
    ! chunk b
    ! end
    > 00 00 00 00 52                     R ""
    < 03 00 00 00 41 79 65 73            A "yes"
    < 01 00 00 00 46 62                  F "b"`,
  "J: a reject, and the next request": `
    > 01 00 00 00 52 71                  R "q"
    ! reject no
    < 02 00 00 00 4a 6e 6f               J "no"
    > 01 00 00 00 52 71                  R "q"
    ! reject no
    < 02 00 00 00 4a 6e 6f               J "no"`,
  "E: a failure on the way": `
    > 01 00 00 00 52 71                  R "q"
    ! accept yes
    < 03 00 00 00 41 79 65 73            A "yes"
    ! fail bad
    < 03 00 00 00 45 62 61 64            E "bad"`,
  "C, K: a cancel after the accept": `
    > 01 00 00 00 52 71                  R "q"
    ! accept yes
    < 03 00 00 00 41 79 65 73            A "yes"
    > 00 00 00 00 43                     C
    < 00 00 00 00 4b                     K
    > 01 00 00 00 52 71                  R "q"
    ! reject no
    < 02 00 00 00 4a 6e 6f               J "no"`,
  "K alone: a cancel that overtakes the accept": `
    > 01 00 00 00 52 71                  R "q"
    > 00 00 00 00 43                     C
    < 00 00 00 00 4b                     K`,
  "H: silence, between requests and within a query": `
    ! silence
    < 00 00 00 00 48                     H
    > 01 00 00 00 52 71                  R "q"
    ! silence
    < 00 00 00 00 48                     H`,
  "the stale cancel is ignored once": `
    > 01 00 00 00 52 71                  R "q"
    ! reject no
    < 02 00 00 00 4a 6e 6f               J "no"
    > 00 00 00 00 43                     C, too late
    > 01 00 00 00 52 71                  R "q"
    ! reject no
    < 02 00 00 00 4a 6e 6f               J "no"`,
  "violation: a second stale cancel": `
    > 01 00 00 00 52 71                  R "q"
    ! reject no
    < 02 00 00 00 4a 6e 6f               J "no"
    > 00 00 00 00 43                     C, too late
    > 00 00 00 00 43                     C
    x protocol`,
  "violation: a cancel of nothing": `
    > 00 00 00 00 43                     C
    x protocol`,
  "violation: a cancel after K": `
    > 01 00 00 00 52 71                  R "q"
    > 00 00 00 00 43                     C
    < 00 00 00 00 4b                     K
    > 00 00 00 00 43                     C
    x protocol`,
  "violation: a request while another is in flight": `
    > 01 00 00 00 52 71                  R "q"
    > 01 00 00 00 52 71                  R "q"
    x protocol`,
  "violation: a message of the server's": `
    > 03 00 00 00 41 79 65 73            A "yes"
    x protocol`,
  "violation: a heartbeat from the client": `
    > 00 00 00 00 48                     H
    x protocol`,
  "violation: a type that does not exist": `
    > 00 00 00 00 5a                     Z
    x protocol`,
  "violation: a cancel with a body": `
    > 01 00 00 00 43 21                  C "!"
    x protocol`,
  "violation: a request above maxSkippedSize, at its header": `
    > fc ff ff 03 52                     R of 64 MiB - 4 bytes, with its header one too many
    x protocol`,
  "an end inside a frame": `
    > 05 00 00 00 52 68                  R "h, and three bytes missing
    ! hangup
    x read`,
  "an end between frames": `
    ! hangup
    x read`
}

const bytes = (text: string): Uint8Array => {
  const [hex = ""] = /^([0-9a-f]{2} ?)+/.exec(text) ?? []
  return Uint8Array.from(hex.trim().split(" "), (byte) => Number.parseInt(byte, 16))
}

const hex = (data: Uint8Array): string =>
  Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join(" ")

const play = Effect.fnUntraced(function* (script: string) {
  const [near, far] = yield* MemorySocket.pair()
  const steps = yield* StepEngine.make()
  const connection = Connection.serve(Transport.fromSocket(near), {
    info: () => ({ id: 1, local: "server", remote: "client" }),
    settings: Settings.defaults
  })
  const fiber = yield* connection.pipe(Effect.provideService(QueryEngine, steps.engine), Effect.forkScoped)
  const pull = yield* Socket.readerBytes(far)
  const sending = yield* Scope.make()
  const writer = yield* Scope.provide(far.writer, sending)
  let received: Array<number> = []

  const engine = (step: string, payload: string) => {
    switch (step) {
      case "silence":
        return TestClock.adjust("5 seconds")
      case "hangup":
        return writer.write(new Socket.CloseEvent())
      default:
        return steps.step({ _tag: step, payload } as Parameters<typeof steps.step>[0])
    }
  }

  for (const line of script.trim().split("\n")) {
    const [, mark, rest = ""] = /^\s*([>!<x]) (.*)$/.exec(line) ?? []
    const [step = "", payload = ""] = rest.split(" ")
    if (mark === ">") yield* writer.write(bytes(rest))
    if (mark === "!") yield* engine(step, payload)
    if (mark === "<") {
      const expected = bytes(rest)
      while (received.length < expected.length) received.push(...(yield* pull).flatMap((part) => [...part]))
      assert.strictEqual(hex(Uint8Array.from(received.slice(0, expected.length))), hex(expected), line)
      received = received.slice(expected.length)
    }
    if (mark === "x") assert.strictEqual((yield* Fiber.join(fiber)).reason, rest)
  }
  // Nothing but what is written above may have come.
  yield* Scope.close(sending, Exit.void)
  yield* Effect.ignore(
    Effect.forever(Effect.map(pull, (parts) => received.push(...parts.flatMap((part) => [...part]))))
  )
  assert.strictEqual(hex(Uint8Array.from(received)), "")
})

describe("conversation", () => {
  for (const [name, script] of Object.entries(conversations)) {
    it.effect(name, () => play(script))
  }
})
