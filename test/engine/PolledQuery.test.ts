import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as PolledQuery from "../../src/engine/PolledQuery.ts"

const encoder = new TextEncoder()
const decoder = new TextDecoder()

type Step = PolledQuery.Status | "throw"

/** A query with two real buffers, which writes its steps' number into the back one and logs every call. */
const scripted = (steps: ReadonlyArray<Step>, init: PolledQuery.InitResult) => {
  const log: Array<string> = []
  const buffers = [new Uint8Array(1), Buffer.alloc(1)] as const
  let front = 0
  let step = 0
  const query: PolledQuery.PolledQuery = {
    init: (request) => {
      log.push(`init ${decoder.decode(request)}`)
      return init
    },
    run: () => {
      const status = steps[step++]
      log.push(`run ${status}`)
      if (status === undefined || status === "throw") throw new Error("no such step")
      if (status !== "wait") buffers[1 - front]?.set(encoder.encode(String(step)))
      return status
    },
    toggle: () => {
      front = 1 - front
    },
    payload: () => buffers[front] ?? new Uint8Array(0),
    end: () => {
      log.push("end")
    }
  }
  return { log, engine: PolledQuery.makeEngine(() => query, { pollInterval: "50 millis" }) }
}

const accept = { _tag: "Accept", payload: encoder.encode("yes") } as const

const texts = (stream: Stream.Stream<Uint8Array, unknown>) =>
  Effect.map(Stream.runCollect(stream), (chunks) => Array.from(chunks, (chunk) => decoder.decode(chunk)))

describe("a polled query", () => {
  it.effect("gives out what each run left in the back buffer, unharmed by the runs after it", () =>
    Effect.gen(function* () {
      const { engine, log } = scripted(["payload", "payload", "complete"], accept)
      const result = yield* Effect.scoped(
        Effect.flatMap(engine.init(encoder.encode("q")), ({ chunks }) => texts(chunks))
      )
      assert.deepStrictEqual(result, ["1", "2", "3"])
      assert.deepStrictEqual(log, ["init q", "run payload", "run payload", "run complete", "end"])
    })
  )

  it.effect("is asked again after the poll interval while it has nothing", () =>
    Effect.gen(function* () {
      const { engine, log } = scripted(["wait", "wait", "complete"], accept)
      const fiber = yield* Effect.forkChild(
        Effect.scoped(Effect.flatMap(engine.init(encoder.encode("q")), ({ chunks }) => texts(chunks)))
      )
      yield* TestClock.adjust("49 millis")
      assert.deepStrictEqual(log, ["init q", "run wait"])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(log, ["init q", "run wait", "run wait"])
      yield* TestClock.adjust("50 millis")
      assert.deepStrictEqual(yield* Fiber.join(fiber), ["3"])
    })
  )

  it.effect("that fails gives its error's body after the chunks before it", () =>
    Effect.gen(function* () {
      const { engine } = scripted(["payload", "error"], accept)
      const seen: Array<string> = []
      const error = yield* Effect.scoped(
        Effect.flatMap(engine.init(encoder.encode("q")), ({ chunks }) =>
          Effect.flip(
            Stream.runForEach(chunks, (chunk) => Effect.sync(() => void seen.push(decoder.decode(chunk))))
          )
        )
      )
      assert.deepStrictEqual(seen, ["1"])
      assert.strictEqual(error._tag, "QueryFailed")
      assert.strictEqual("payload" in error ? decoder.decode(error.payload) : "", "2")
    })
  )

  for (const [name, steps, init] of [
    ["completes", ["complete"], accept],
    ["fails", ["error"], accept],
    ["throws", ["throw"], accept],
    ["is rejected", [], { _tag: "Reject", payload: encoder.encode("no") }],
    ["cannot be initialised", [], { _tag: "Error", message: "broken" }]
  ] as ReadonlyArray<[string, ReadonlyArray<Step>, PolledQuery.InitResult]>) {
    it.effect(`is ended exactly once when it ${name}`, () =>
      Effect.gen(function* () {
        const { engine, log } = scripted(steps, init)
        yield* Effect.exit(
          Effect.scoped(Effect.flatMap(engine.init(encoder.encode("q")), ({ chunks }) => texts(chunks)))
        )
        assert.deepStrictEqual(
          log.filter((entry) => entry === "end"),
          ["end"]
        )
        assert.strictEqual(log.at(-1), "end")
      })
    )
  }

  it.effect("is ended exactly once when it is cancelled while waiting", () =>
    Effect.gen(function* () {
      const { engine, log } = scripted(["wait", "wait"], accept)
      const fiber = yield* Effect.forkChild(
        Effect.scoped(Effect.flatMap(engine.init(encoder.encode("q")), ({ chunks }) => texts(chunks)))
      )
      yield* TestClock.adjust("10 millis")
      yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      assert.deepStrictEqual(log, ["init q", "run wait", "end"])
    })
  )
})
