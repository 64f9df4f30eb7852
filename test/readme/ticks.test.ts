import { assert, it } from "@effect/vitest"
import { TestServer } from "dataconn/testing"
import { Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Ticks } from "./ticks.ts"

it.effect("ticks once a second", () =>
  Effect.gen(function* () {
    const client = yield* TestServer.connect()
    const { chunks } = yield* client.request(new TextEncoder().encode("go"))
    const text = yield* chunks.pipe(Stream.decodeText, Stream.mkString, Effect.forkChild)
    yield* TestClock.adjust("3 seconds")
    assert.strictEqual(yield* Fiber.join(text), "tick 0\ntick 1\ntick 2\n")
  }).pipe(Effect.provide(Ticks))
)
