import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Client from "../../src/client/Client.ts"
import { QueryEngine } from "../../src/engine/QueryEngine.ts"
import * as Transport from "../../src/net/Transport.ts"
import * as Connection from "../../src/server/Connection.ts"
import * as Settings from "../../src/server/Settings.ts"
import { Shutdown } from "../../src/server/Shutdown.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"
import * as StepEngine from "../../src/testing/StepEngine.ts"
import * as Garbage from "../support/Garbage.ts"

const bytes = (text: string) => new TextEncoder().encode(text)
const text = (payload: Uint8Array) => new TextDecoder().decode(payload)

/** The client against the real server's connection, with an engine that the test drives. */
const open = Effect.gen(function* () {
  const [near, far] = yield* MemorySocket.pair()
  const steps = yield* StepEngine.make()
  const info = { id: 1, local: "server", remote: "client" }
  const shutdown = new Shutdown()
  const connection = Connection.serve(Transport.fromSocket(far), {
    info: () => info,
    settings: Settings.defaults,
    shutdown
  })
  const serving = yield* connection.pipe(Effect.provideService(QueryEngine, steps.engine), Effect.forkScoped)
  const client = yield* Client.make(near)
  return { client, serving, shutdown, steps }
})

type Opened = Effect.Success<typeof open>

const run = ({ client }: Opened, name: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { chunks, payload } = yield* client.request(bytes(name))
      return [text(payload), ...(yield* Stream.runCollect(chunks)).map(text)]
    })
  )

const accept = { _tag: "accept", payload: "yes" } as const
const chunk = (payload: string) => ({ _tag: "chunk", payload }) as const
const end = { _tag: "end" } as const

describe("a client and a server's connection", () => {
  it.effect("exchange one response after the other", () =>
    Effect.gen(function* () {
      const opened = yield* open
      yield* opened.steps.step(accept, chunk("a"), chunk("b"), end)
      assert.strictEqual((yield* run(opened, "one")).join(" "), "yes a b")
      yield* opened.steps.step({ _tag: "reject", payload: "no" })
      assert.strictEqual((yield* Effect.flip(run(opened, "two")))._tag, "QueryRejected")
      yield* opened.steps.step(accept, chunk("a"), { _tag: "fail", payload: "broken" })
      assert.strictEqual((yield* Effect.flip(run(opened, "three")))._tag, "QueryFailed")
      yield* opened.steps.step(accept, end)
      assert.deepStrictEqual(yield* run(opened, "four"), ["yes"])
    })
  )

  it.effect("forget a request while they wait for the next one", () =>
    Effect.gen(function* () {
      const opened = yield* open
      yield* opened.steps.step(accept, end)
      const request = yield* Effect.gen(function* () {
        const body = bytes("large".repeat(1000))
        yield* Effect.scoped(
          Effect.flatMap(opened.client.request(body), ({ chunks }) => Stream.runDrain(chunks))
        )
        return new WeakRef(body)
      })
      yield* Garbage.collect
      assert.isUndefined(request.deref())
      assert.isTrue(opened.client.isOpen())
    })
  )

  it.effect("outlast a silent query and idle hours by heartbeats", () =>
    Effect.gen(function* () {
      const opened = yield* open
      yield* TestClock.adjust("59 minutes")
      const fiber = yield* Effect.forkChild(run(opened, "slow"), { startImmediately: true })
      yield* TestClock.adjust("5 minutes")
      yield* opened.steps.step(accept)
      yield* TestClock.adjust("4 minutes")
      yield* opened.steps.step(chunk("a"), end)
      assert.deepStrictEqual(yield* Fiber.join(fiber), ["yes", "a"])
    })
  )

  it.effect("cancel before the accept and after it, and go on", () =>
    Effect.gen(function* () {
      const opened = yield* open
      const early = yield* Effect.forkChild(run(opened, "early"), { startImmediately: true })
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(early)
      assert.deepStrictEqual(opened.steps.log, ["init early", "ended"])

      const scope = yield* Scope.make()
      yield* opened.steps.step(accept, chunk("a"))
      yield* Scope.provide(opened.client.request(bytes("late")), scope)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(opened.steps.log.slice(2), ["init late", "ended"])

      yield* opened.steps.step(accept, chunk("b"), end)
      assert.deepStrictEqual(yield* run(opened, "next"), ["yes", "b"])
      assert.isTrue(opened.client.isOpen())
    })
  )

  it.effect("part when the server drains: the next request was not sent", () =>
    Effect.gen(function* () {
      const opened = yield* open
      yield* opened.shutdown.tell("drain")
      assert.strictEqual((yield* Fiber.join(opened.serving)).reason, "drain")
      yield* TestClock.adjust(0)
      const error = yield* Effect.flip(run(opened, "late"))
      assert.strictEqual(error._tag === "ClientError" && error.reason._tag, "ConnectionClosed")
    })
  )
})
