import { assert, it } from "@effect/vitest"
import { MemorySocket } from "dataconn/testing"
import { Transport } from "dataconn/toolbox"
import { Effect, Fiber } from "effect"
import * as Socket from "effect/socket/Socket"
import { echo } from "./echo.ts"

const frames = Uint8Array.of(0, 2, 0x68, 0x69, 0, 0, 0, 1, 0x21)

it.effect("echoes frames until the peer closes", () =>
  Effect.gen(function* () {
    const [near, far] = yield* MemorySocket.pair()
    const served = yield* Effect.forkChild(echo(Transport.fromSocket(near)))
    const pull = yield* Socket.readerBytes(far)
    const writer = yield* far.writer
    // Split inside a frame.
    yield* writer.writeAll([frames.subarray(0, 3), frames.subarray(3)])
    const echoed: Array<number> = []
    while (echoed.length < frames.length) for (const bytes of yield* pull) echoed.push(...bytes)
    assert.deepStrictEqual(echoed, [...frames])
    yield* writer.write(new Socket.CloseEvent(1000))
    yield* Fiber.join(served)
  })
)

it.effect("fails with the setting that a frame exceeds", () =>
  Effect.gen(function* () {
    const [near, far] = yield* MemorySocket.pair()
    const served = yield* Effect.forkChild(Effect.flip(echo(Transport.fromSocket(near))))
    yield* Effect.flatMap(far.writer, (writer) => writer.write(Uint8Array.of(0xff, 0xff)))
    assert.match((yield* Fiber.join(served)).message, /maxFrameSize is 4096/)
  })
)
