import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as ClientConnection from "../../src/client/ClientConnection.ts"
import type { ChunkBatch, Exchange } from "../../src/client/Exchange.ts"
import { Requests } from "../../src/client/Requests.ts"
import * as Timers from "../../src/loop/Timers.ts"
import type * as Transport from "../../src/net/Transport.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as ServerPeer from "../support/ServerPeer.ts"

const options: ClientConnection.Options = {
  ...Message.defaultOptions,
  server: "the server",
  writeTimeoutMillis: Number.POSITIVE_INFINITY,
  heartbeatToleranceMillis: Number.POSITIVE_INFINITY,
  cancelTimeoutMillis: 1000,
  connectTimeoutMillis: Number.POSITIVE_INFINITY,
  requestTimeoutMillis: Number.POSITIVE_INFINITY
}

/** A connection to which frames come by a call, on the test's own stack. */
const open = Effect.fnUntraced(function* () {
  let receiver: Transport.Receiver | undefined
  const calls: Array<string> = []
  const written = Latch.makeUnsafe()
  const resumed = Latch.makeUnsafe()
  const transport: Transport.Transport = {
    read: (reader) => {
      receiver = reader
    },
    pause: () => void calls.push("pause"),
    resume: () => {
      calls.push("resume")
      resumed.openUnsafe()
    },
    write: () => {
      written.openUnsafe()
      return Exit.void
    },
    destroy: () => {},
    unsent: () => 0
  }
  const requests = new Requests({ ...options, maxQueuedRequests: 0, timers: yield* Timers.make })
  requests.offer(
    yield* ClientConnection.make(Effect.succeed(transport), options, { freed: () => {}, ended: () => {} })
  )
  const receive = (...frames: ReadonlyArray<string>) => {
    receiver?.received([Buffer.concat(frames.map((each) => Message.encode(ServerPeer.frame(each))))])
  }
  const request = requests.run(new Uint8Array(1), (_, exchange) => exchange)
  return { calls, receive, request, requested: written.await, starved: resumed.await }
})

const text = (batch: ChunkBatch) => Buffer.concat(batch).toString()
const pull = (exchange: Exchange) => Effect.map(exchange.pull(String), text)

/** Sends a request that is accepted. */
const accepted = Effect.fnUntraced(function* ({
  receive,
  request,
  requested
}: Effect.Success<ReturnType<typeof open>>) {
  const requesting = yield* Effect.forkChild(request, { startImmediately: true })
  yield* requested
  receive("A")
  return yield* Fiber.join(requesting)
})

describe("the consumers of a thread's connections", () => {
  it.effect("go on together when their responses have arrived", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const connections = [yield* open(), yield* open()]
      const consumers = yield* Effect.forEach(connections, ({ request }, i) =>
        Effect.forkChild(
          Effect.gen(function* () {
            const exchange = yield* request
            log.push(`${i} accepted`)
            log.push(`${i} ${yield* pull(exchange)}`)
          }),
          { startImmediately: true }
        )
      )
      const read = (frame: string) => {
        for (const [i, { receive }] of connections.entries()) {
          receive(frame)
          log.push(`${i} read`)
        }
      }
      yield* Effect.forEach(connections, ({ requested }) => requested)
      read("A")
      yield* Effect.forEach(connections, ({ starved }) => starved)
      read("F whole")
      yield* Effect.forEach(consumers, Fiber.join)
      const both = (what: string) => [`0 ${what}`, `1 ${what}`]
      assert.deepStrictEqual(log, ["read", "accepted", "read", "whole"].flatMap(both))
    })
  )

  it.effect("go on at once in the midst of a result, so that it is read without a pause", () =>
    Effect.gen(function* () {
      const opened = yield* open()
      const { calls, receive } = opened
      const exchange = yield* accepted(opened)
      const log: Array<string> = []
      const consumer = yield* Effect.forkChild(
        Effect.forever(
          Effect.map(pull(exchange), (chunk) => log.push(chunk)),
          { disableYield: true }
        ),
        { startImmediately: true }
      )
      calls.length = 0
      receive("I a")
      assert.deepStrictEqual(log, ["a"])
      receive("I b", "I c")
      assert.deepStrictEqual(log, ["a", "bc"])
      assert.deepStrictEqual(calls, [])
      receive("F d")
      yield* Fiber.await(consumer)
      assert.deepStrictEqual(log, ["a", "bc", "d"])
    })
  )

  it.effect("hold a result up from its accept until they ask for more", () =>
    Effect.gen(function* () {
      const opened = yield* open()
      const { calls, receive } = opened
      const exchange = yield* accepted(opened)
      assert.deepStrictEqual(calls, ["pause"])
      const pulling = yield* Effect.forkChild(pull(exchange), { startImmediately: true })
      assert.deepStrictEqual(calls, ["pause", "resume"])
      receive("F a")
      assert.strictEqual(yield* Fiber.join(pulling), "a")
    })
  )
})
