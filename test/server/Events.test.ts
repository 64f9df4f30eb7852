import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { QueryEngine } from "../../src/engine/QueryEngine.ts"
import { type ConnectionEvent, ConnectionEvents } from "../../src/server/ConnectionEvents.ts"
import * as StepEngine from "../../src/testing/StepEngine.ts"
import { accept, chunk, end } from "../../src/testing/StepEngine.ts"
import * as TestServer from "../../src/testing/TestServer.ts"
import * as Served from "../support/Served.ts"

const decoder = new TextDecoder()

/** No time passes, and the engine neither names queries nor counts rows. */
const unknown = { durationMillis: 0, queryId: undefined, rows: undefined }
const connection = Served.info

/** Events with their bodies as text. */
const shown = (events: ReadonlyArray<ConnectionEvent>) =>
  events.map((event) =>
    Object.fromEntries(
      Object.entries(event).map(([name, value]) => [
        name,
        value instanceof Uint8Array ? decoder.decode(value) : value
      ])
    )
  )

describe("events", () => {
  it.effect("tell of each step, with bodies and statistics", () =>
    Effect.gen(function* () {
      const { peer, steps, events, ended } = yield* Served.open()
      yield* steps.step(accept, chunk("abc"), end)
      yield* peer.request("one")
      yield* peer.take(2)
      yield* peer.request("two")
      yield* steps.step({ _tag: "reject", payload: "no" })
      yield* peer.next
      yield* peer.request("three")
      yield* steps.step(accept, chunk("ab"), { _tag: "fail", payload: "bad" })
      yield* peer.take(3)
      yield* peer.request("four")
      yield* peer.cancel
      yield* peer.next
      yield* peer.request("five")
      yield* steps.step(accept)
      yield* peer.next
      yield* peer.close
      const control = yield* ended
      assert.deepStrictEqual(shown(events), [
        { _tag: "Opened", connection },
        { _tag: "Request", connection, body: "one" },
        { _tag: "Accepted", connection, payload: "yes" },
        {
          _tag: "Completed",
          connection,
          query: {
            bytesTransferred: 16,
            payloadBytesTransferred: 3,
            messages: 2,
            runs: 1,
            reason: "complete",
            ...unknown
          }
        },
        { _tag: "Request", connection, body: "two" },
        {
          _tag: "Rejected",
          connection,
          payload: "no",
          query: {
            bytesTransferred: 7,
            payloadBytesTransferred: 0,
            messages: 1,
            runs: 0,
            reason: "reject",
            ...unknown
          }
        },
        { _tag: "Request", connection, body: "three" },
        { _tag: "Accepted", connection, payload: "yes" },
        {
          _tag: "Failed",
          connection,
          payload: "bad",
          query: {
            bytesTransferred: 23,
            payloadBytesTransferred: 2,
            messages: 3,
            runs: 1,
            reason: "error",
            ...unknown
          }
        },
        { _tag: "Request", connection, body: "four" },
        {
          _tag: "Cancelled",
          connection,
          query: {
            bytesTransferred: 0,
            payloadBytesTransferred: 0,
            messages: 0,
            runs: 0,
            reason: "cancel",
            ...unknown
          }
        },
        { _tag: "Request", connection, body: "five" },
        { _tag: "Accepted", connection, payload: "yes" },
        {
          _tag: "Aborted",
          connection,
          query: {
            bytesTransferred: 8,
            payloadBytesTransferred: 0,
            messages: 1,
            runs: 0,
            reason: "abort",
            ...unknown
          }
        },
        {
          _tag: "Closed",
          connection,
          control,
          heartbeat: { bytesTransferred: 0, messages: 0, waits: 1, reason: "wait" },
          detail: "End of file"
        }
      ])
      assert.deepStrictEqual(control, {
        bytesRead: 8 + 8 + 10 + 9 + 5 + 9,
        bytesWritten: 16 + 7 + 23 + 5 + 8,
        messagesRead: 6,
        messagesWritten: 2 + 1 + 3 + 1 + 1,
        accepted: 3,
        rejected: 1,
        cancelled: 1,
        reason: "read"
      })
    })
  )

  it.effect("say of a query that its response could not be written", () =>
    Effect.gen(function* () {
      const { peer, steps, events, ended } = yield* Served.open({ capacity: 4, writeTimeout: 1000 })
      yield* steps.step(accept)
      yield* peer.request("one")
      yield* TestClock.adjust(1000)
      assert.strictEqual((yield* ended).reason, "write")
      const aborted = events.at(-2)
      assert.strictEqual(aborted?._tag === "Aborted" ? aborted.query.reason : aborted?._tag, "fail")
    })
  )

  it.effect("come before the bytes they tell of", () =>
    Effect.gen(function* () {
      const { peer, steps, writes } = yield* Served.open({
        publish: (event) => (event._tag === "Accepted" ? Effect.sleep(1000) : Effect.void)
      })
      yield* steps.step(accept, end)
      yield* peer.request("one")
      yield* TestClock.adjust(999)
      assert.lengthOf(writes, 0)
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(yield* peer.take(2), ["A yes", "F"])
    })
  )

  const dying = ["Opened", "Request", "Accepted", "Completed", "Closed"] as const
  for (const tag of dying) {
    it.effect(`that nobody can be told of do no harm: ${tag}`, () =>
      Effect.gen(function* () {
        const { connection, peer, steps, ended } = yield* Served.open({
          publish: (event) => (event._tag === tag ? Effect.die(new Error("no log")) : Effect.void)
        })
        yield* steps.step(accept, end)
        yield* peer.request("one")
        assert.deepStrictEqual(yield* peer.take(2), ["A yes", "F"])
        yield* steps.step(accept)
        yield* peer.request("two")
        assert.strictEqual(yield* peer.next, "A yes")
        yield* connection.drain
        yield* steps.step(end)
        assert.strictEqual(yield* peer.next, "F")
        assert.match(yield* peer.next, /^J .*"closing":true/)
        assert.strictEqual(yield* peer.next, "closed")
        assert.strictEqual((yield* ended).reason, "drain")
      })
    )
  }

  it.effect("do no harm to a listener that returns no effect", () =>
    Effect.gen(function* () {
      const { engine, step } = yield* StepEngine.make()
      yield* step(accept, chunk("abc"), end)
      const client = yield* TestServer.connect().pipe(
        Effect.provideService(QueryEngine, engine),
        Effect.provideService(ConnectionEvents, { publish: () => "none" as never })
      )
      const { chunks } = yield* client.request(new Uint8Array(0))
      assert.strictEqual(yield* Stream.mkString(Stream.decodeText(chunks)), "abc")
    })
  )

  it.effect("may throw where they are made", () =>
    Effect.gen(function* () {
      const { peer, steps } = yield* Served.open({
        publish: (event) => {
          if (event._tag === "Request") throw new Error("no log")
          return Effect.void
        }
      })
      yield* steps.step(accept, end)
      yield* peer.request("one")
      assert.deepStrictEqual(yield* peer.take(2), ["A yes", "F"])
    })
  )
})
