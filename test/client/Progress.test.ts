/**
 * A client that asks how far a query is.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Client from "../../src/client/Client.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"
import * as Served from "../support/Served.ts"
import * as ServerPeer from "../support/ServerPeer.ts"

/** A client that has asked, and the server that has to answer. */
const ask = Effect.gen(function* () {
  const [near, far] = yield* MemorySocket.pair()
  const server = yield* ServerPeer.make(far)
  const client = yield* Client.make(near)
  const answer = yield* Effect.forkChild(
    Effect.match(client.progress("mine"), {
      onSuccess: (progress): unknown => progress,
      onFailure: (error): unknown => (error._tag === "QueryError" ? error.code : error.reason._tag)
    }),
    { startImmediately: true }
  )
  assert.strictEqual(yield* server.next, 'R {"version":"v1","query":"","progressOf":"mine"}')
  return { server, answer }
})

const accept = 'A {"format":"application/json","queryId":"mine"}'

describe("the progress of a query", () => {
  it.effect.each<[string, ReadonlyArray<string>, unknown]>([
    [
      "what the server tells, but for what is not known here",
      [accept, 'F {"queryId":"mine","fraction":0.5,"elapsedMs":12,"later":1}'],
      { queryId: "mine", fraction: 0.5, elapsedMs: 12 }
    ],
    [
      "the same in several chunks",
      [accept, 'I {"queryId":"mine",', 'F "elapsedMs":12}'],
      { queryId: "mine", elapsedMs: 12 }
    ],
    [
      "unknown of a query that does not run",
      ['J {"code":"not_found","message":"m","retryable":false}'],
      "not_found"
    ],
    [
      "unknown to a server that sees an empty query",
      ['J {"code":"bad_request","message":"m","retryable":false}'],
      "bad_request"
    ],
    [
      "the server's fault if it is none",
      [accept, 'F {"queryId":"mine","fraction":2,"elapsedMs":1}'],
      "internal"
    ]
  ])("is %s", ([_, frames, expected]) =>
    Effect.gen(function* () {
      const { answer, server } = yield* ask
      yield* server.send(...frames)
      assert.deepStrictEqual(yield* Fiber.join(answer), expected)
    })
  )

  it.effect("is cancelled if there is no end of it", () =>
    Effect.gen(function* () {
      const { answer, server } = yield* ask
      yield* server.send(accept, `I ${"x".repeat(100_000)}`)
      assert.strictEqual(yield* server.next, "C")
      yield* server.send("K")
      assert.strictEqual(yield* Fiber.join(answer), "internal")
    })
  )

  it.effect("waits for the end of the response that has the connection", () =>
    Effect.gen(function* () {
      const [near, far] = yield* MemorySocket.pair()
      const server = yield* ServerPeer.make(far)
      const client = yield* Client.make(near)
      const asking = Effect.gen(function* () {
        const { accepted } = yield* client.query({ query: "x", progress: true })
        assert.isTrue(accepted.progress)
        return yield* Effect.forkDetach(client.progress(accepted.queryId), { startImmediately: true })
      })
      const fiber = yield* Effect.forkChild(Effect.scoped(asking), { startImmediately: true })
      assert.strictEqual(yield* server.next, 'R {"version":"v1","query":"x","progress":true}')
      yield* server.send('A {"format":"application/json","queryId":"mine","progress":true}')
      assert.strictEqual(yield* server.next, "C")
      yield* server.send("K")
      yield* Served.settle
      const answer = yield* Fiber.join(fiber)
      assert.strictEqual(yield* server.next, 'R {"version":"v1","query":"","progressOf":"mine"}')
      yield* server.send(accept, 'F {"queryId":"mine","elapsedMs":1}')
      assert.deepStrictEqual(yield* Fiber.join(answer), { queryId: "mine", elapsedMs: 1 })
    })
  )
})
