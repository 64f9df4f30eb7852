/**
 * One WebSocket without a network: a client that sends and does not read.
 */
import { EventEmitter } from "node:events"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Socket from "effect/socket/Socket"
import * as Limits from "../../src/engine/Limits.ts"
import * as Caller from "../../src/gateway/Caller.ts"
import type { Dispatcher } from "../../src/gateway/Dispatcher.ts"
import * as StreamSession from "../../src/gateway/StreamSession.ts"
import * as Poll from "../support/Poll.ts"

const settings: StreamSession.Settings = {
  limits: Limits.make(),
  maxStreamQueries: 12,
  maxStreamCredit: 1000,
  httpMaxBodySize: 1000,
  streamHeartbeat: Duration.infinity,
  httpBufferSize: 1000,
  httpStallTimeout: Duration.infinity
}

/** A session whose client has so many bytes to take. Every query has an endless result. */
const serve = Effect.fnUntraced(function* (writableLength: number) {
  const messages = yield* Queue.unbounded<string>()
  const sent: Array<unknown> = []
  const connection = Object.assign(new EventEmitter(), { closed: false, writableLength })
  const write = (message: unknown) => Effect.sync(() => void sent.push(message))
  const socket = Socket.make({
    reader: Effect.succeed({ pull: Queue.takeAll(messages) as never, upgrade: Effect.never as never }),
    writer: Effect.succeed({ write, writeAll: () => Effect.void })
  })
  const start = () =>
    Effect.succeed({ accepted: {}, control: {}, entry: {}, pull: Effect.succeed([new Uint8Array(10)]) })
  const session = yield* Effect.forkScoped(
    StreamSession.serve(socket, {
      dispatcher: { start } as unknown as Dispatcher,
      draining: Effect.never,
      settings,
      origin: { headers: {}, client: undefined },
      identify: () => Caller.anybody,
      connection: connection as never
    }),
    { startImmediately: true }
  )
  const send = (message: object) => Queue.offer(messages, JSON.stringify(message))
  return { connection, send, sent, session }
})

describe("a WebSocket whose client does not read", () => {
  it.live("has all of its queries wait for it with one listener", () =>
    Effect.gen(function* () {
      const { connection, send, sent } = yield* serve(1000)
      for (let id = 0; id < 12; id++) yield* send({ type: "query", id, query: "x", credit: 1000 })
      yield* Poll.until("all are accepted", () => sent.length === 1 + 12)
      assert.strictEqual(connection.listenerCount("drain"), 1)
      assert.strictEqual(connection.listenerCount("close"), 1)
      connection.writableLength = 0
      connection.emit("drain")
      // The credit of 1000 bytes in chunks of ten.
      yield* Poll.until("the credit is used", () => sent.length === 1 + 12 + 12 * 100)
    })
  )

  it.live("ends where it sends all the same, and leaves the answers", () =>
    Effect.gen(function* () {
      const { connection, send, sent, session } = yield* serve(1000)
      yield* send({ type: "query", id: 1, query: "x", credit: 1000 })
      yield* Poll.until("it is accepted", () => sent.length === 2)
      connection.writableLength = 1000 * 1000 * 1000
      yield* send({ type: "query", id: 2 })
      yield* Fiber.join(session)
      assert.deepStrictEqual(sent.at(-1), new Socket.CloseEvent(1008, "answers are not read"))
    })
  )
})
