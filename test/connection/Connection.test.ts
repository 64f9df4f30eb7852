import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as Connection from "../../src/connection/Connection.ts"
import { type ConnectionEvent, ConnectionEvents } from "../../src/connection/ConnectionEvents.ts"
import * as Settings from "../../src/connection/Settings.ts"
import { QueryEngine } from "../../src/engine/QueryEngine.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"
import * as Frame from "../../src/wire/Frame.ts"
import * as Peer from "../support/Peer.ts"
import * as StepEngine from "../support/StepEngine.ts"

const info = { id: 1, local: "server", remote: "client" }

/** A connection over a socket in memory, with a client and an engine that the test drives. */
const open = Effect.fnUntraced(function* (
  settings: Partial<Settings.Settings> = {},
  options: { readonly capacity?: number } = {}
) {
  const [near, far] = yield* MemorySocket.pair(options)
  const steps = yield* StepEngine.make
  const events: Array<ConnectionEvent> = []
  const connection = Connection.make(near, { info, settings: { ...Settings.defaults, ...settings } })
  const fiber = yield* connection.run.pipe(
    Effect.provideService(QueryEngine, steps.engine),
    Effect.provideService(ConnectionEvents, {
      publish: (event) => Effect.sync(() => void events.push(event))
    }),
    Effect.forkScoped
  )
  const peer = yield* Peer.make(far)
  return { connection, peer, steps, events, ended: Fiber.join(fiber) }
})

const tags = (events: ReadonlyArray<ConnectionEvent>) => events.map((event) => event._tag)

const accept = { _tag: "accept", payload: "yes" } as const
const chunk = (payload: string) => ({ _tag: "chunk", payload }) as const
const end = { _tag: "end" } as const

describe("a response", () => {
  it.effect("is accept, chunks and a final chunk, and the connection takes the next request", () =>
    Effect.gen(function* () {
      const { peer, steps, events } = yield* open()
      yield* peer.request("one")
      yield* steps.step(accept)
      assert.deepStrictEqual(yield* peer.next, "A yes")
      yield* steps.step(chunk("a"))
      assert.deepStrictEqual(yield* peer.next, "I a")
      yield* steps.step(chunk("b"), end)
      assert.match((yield* peer.take(2)).join(), /^(I b,F|F b)/)
      yield* peer.request("two")
      yield* steps.step({ _tag: "reject", payload: "no" })
      assert.deepStrictEqual(yield* peer.next, "J no")
      assert.deepStrictEqual(steps.log, ["init one", "ended", "init two", "ended"])
      assert.deepStrictEqual(tags(events), [
        "Opened",
        "Request",
        "Accepted",
        "Completed",
        "Request",
        "Rejected"
      ])
    })
  )
})

describe("heartbeats", () => {
  it.effect("are sent whenever nothing was written for the interval", () =>
    Effect.gen(function* () {
      const { peer, steps } = yield* open({ heartbeatInterval: "5 seconds" })
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* peer.next, "H")
      yield* peer.request("slow")
      yield* TestClock.adjust("3 seconds")
      yield* steps.step(accept)
      assert.deepStrictEqual(yield* peer.next, "A yes")
      yield* TestClock.adjust("4999 millis")
      yield* steps.step(chunk("x"))
      assert.deepStrictEqual(yield* peer.next, "I x")
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* peer.next, "H")
    })
  )
})

describe("cancel", () => {
  it.effect("before the accept is answered by K alone", () =>
    Effect.gen(function* () {
      const { peer, steps, events } = yield* open()
      yield* peer.request("one")
      yield* peer.cancel
      assert.deepStrictEqual(yield* peer.next, "K")
      assert.deepStrictEqual(steps.log, ["init one", "ended"])
      assert.deepStrictEqual(tags(events), ["Opened", "Request", "Cancelled"])
      yield* peer.cancel
      assert.deepStrictEqual(yield* peer.next, "closed")
    })
  )
})

void Frame
