import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Client from "../../src/client/Client.ts"
import type { Settings } from "../../src/client/Settings.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"
import { failure } from "../support/Failure.ts"
import * as Served from "../support/Served.ts"
import * as ServerPeer from "../support/ServerPeer.ts"

const bytes = (text: string) => new TextEncoder().encode(text)
const text = (payload: Uint8Array) => new TextDecoder().decode(payload)

/** A client whose server the test drives. */
const open = Effect.fnUntraced(function* (
  settings: Partial<Settings> = {},
  options: { readonly capacity?: number } = {}
) {
  const [near, far] = yield* MemorySocket.pair(options)
  const server = yield* ServerPeer.make(far)
  const client = yield* Client.make(near, settings)
  return { client, server }
})

type Opened = Effect.Success<ReturnType<typeof open>>

/** Sends a request that the server accepts, its response belonging to the scope at hand. */
const accepted = Effect.fnUntraced(function* ({ client, server }: Opened, name = "one") {
  const fiber = yield* Effect.forkChild(client.request(bytes(name)))
  assert.strictEqual(yield* server.next, `R ${name}`)
  yield* server.send("A yes")
  return yield* Fiber.join(fiber)
})

const collect = <E>(chunks: Stream.Stream<Uint8Array, E>) =>
  Effect.map(Stream.runCollect(chunks), (all) => all.map(text))

/** A whole request and response: the connection is in order, and nothing else is on the wire. */
const answered = Effect.fnUntraced(function* (opened: Opened, name: string) {
  const response = yield* accepted(opened, name)
  yield* opened.server.send("F b")
  assert.deepStrictEqual(yield* collect(response.chunks), ["b"])
})

describe("a response", () => {
  it.effect("is the accept's payload and the chunks up to the final one", () =>
    Effect.gen(function* () {
      const opened = yield* open()
      const response = yield* accepted(opened)
      assert.strictEqual(text(response.payload), "yes")
      const fiber = yield* Effect.forkChild(collect(response.chunks))
      yield* opened.server.send("I a", "H", "I b")
      yield* opened.server.send("I", "F c")
      assert.deepStrictEqual(yield* Fiber.join(fiber), ["a", "b", "c"])
    })
  )

  it.effect("may be empty", () =>
    Effect.gen(function* () {
      const opened = yield* open()
      const response = yield* accepted(opened)
      yield* opened.server.send("F")
      assert.deepStrictEqual(yield* collect(response.chunks), [])
    })
  )

  it.effect("hands on all chunks that one read brought in one pull", () =>
    Effect.gen(function* () {
      const opened = yield* open()
      const response = yield* accepted(opened)
      yield* opened.server.send("I a", "I b", "F c")
      const batches: Array<number> = []
      yield* Stream.runForEachArray(response.chunks, (chunks) =>
        Effect.sync(() => void batches.push(chunks.length))
      )
      assert.deepStrictEqual(batches, [3])
    })
  )

  it.effect("that is rejected fails the request with the payload", () =>
    Effect.gen(function* () {
      const { client, server } = yield* open()
      const fiber = yield* Effect.forkChild(Effect.flip(client.request(bytes("one"))))
      assert.strictEqual(yield* server.next, "R one")
      yield* server.send("J no")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "QueryRejected")
      if (error._tag === "QueryRejected") assert.strictEqual(text(error.payload), "no")
      assert.isTrue(client.isOpen())
    })
  )

  it.effect("that fails after chunks gives the chunks and then the failure", () =>
    Effect.gen(function* () {
      const opened = yield* open()
      const response = yield* accepted(opened)
      yield* opened.server.send("I a", "E broken")
      const seen: Array<string> = []
      const error = yield* Effect.flip(
        Stream.runForEach(response.chunks, (chunk) => Effect.sync(() => void seen.push(text(chunk))))
      )
      assert.deepStrictEqual(seen, ["a"])
      assert.strictEqual(error._tag, "QueryFailed")
      if (error._tag === "QueryFailed") assert.strictEqual(text(error.payload), "broken")
      assert.isTrue(opened.client.isOpen())
    })
  )

  it.effect("is used once: a second run fails rather than being an empty result", () =>
    Effect.gen(function* () {
      const opened = yield* open()
      const response = yield* accepted(opened)
      yield* opened.server.send("F a")
      assert.deepStrictEqual(yield* collect(response.chunks), ["a"])
      assert.match(failure(yield* Effect.exit(collect(response.chunks))), /used once/)
    })
  )
})

describe("the chunks of a response", () => {
  it.effect("have one consumer: a second one fails and leaves them to the first", () =>
    Effect.gen(function* () {
      const opened = yield* open()
      const response = yield* accepted(opened)
      const first = yield* Effect.forkChild(collect(response.chunks), { startImmediately: true })
      assert.match(failure(yield* Effect.exit(collect(response.chunks))), /used once/)
      yield* opened.server.send("I a", "F b")
      assert.deepStrictEqual(yield* Fiber.join(first), ["a", "b"])
    })
  )
})

describe("cancel", () => {
  it.effect("by closing the scope is sent, and its acknowledgement awaited", () =>
    Effect.gen(function* () {
      const opened = yield* open()
      const scope = yield* Scope.make()
      yield* Scope.provide(accepted(opened), scope)
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      assert.strictEqual(yield* opened.server.next, "C")
      yield* opened.server.send("I late", "H")
      assert.isUndefined(closing.pollUnsafe())
      yield* opened.server.send("K")
      yield* Fiber.join(closing)
      yield* answered(opened, "two")
    })
  )

  it.effect("is sent when the client closes in the same scope, before the connection ends", () =>
    Effect.gen(function* () {
      const [near, far] = yield* MemorySocket.pair()
      const server = yield* ServerPeer.make(far)
      const scope = yield* Scope.make()
      const client = yield* Scope.provide(Client.make(near), scope)
      yield* Scope.provide(accepted({ client, server }), scope)
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      assert.strictEqual(yield* server.next, "C")
      yield* server.send("K")
      assert.strictEqual(yield* server.next, "closed")
      yield* Fiber.join(closing)
    })
  )

  it.effect("is sent when the stream ends early", () =>
    Effect.gen(function* () {
      const opened = yield* open()
      const response = yield* accepted(opened)
      const fiber = yield* Effect.forkChild(collect(Stream.take(response.chunks, 1)))
      yield* opened.server.send("I a", "I b")
      assert.strictEqual(yield* opened.server.next, "C")
      yield* opened.server.send("K")
      assert.deepStrictEqual(yield* Fiber.join(fiber), ["a"])
    })
  )

  it.effect("is sent when the consumer is interrupted", () =>
    Effect.gen(function* () {
      const opened = yield* open()
      const response = yield* accepted(opened)
      const fiber = yield* Effect.forkChild(collect(response.chunks), { startImmediately: true })
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(fiber), { startImmediately: true })
      assert.strictEqual(yield* opened.server.next, "C")
      assert.isUndefined(interrupting.pollUnsafe())
      yield* opened.server.send("K")
      yield* Fiber.join(interrupting)
    })
  )

  it.effect("is sent when a request is interrupted before its accept, and K alone may answer", () =>
    Effect.gen(function* () {
      const { client, server } = yield* open()
      const fiber = yield* Effect.forkChild(Effect.scoped(client.request(bytes("one"))))
      assert.strictEqual(yield* server.next, "R one")
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(fiber), { startImmediately: true })
      assert.strictEqual(yield* server.next, "C")
      yield* server.send("K")
      yield* Fiber.join(interrupting)
      assert.isTrue(client.isOpen())
    })
  )

  for (const terminal of ["F last", "E broken"]) {
    it.effect(`crossed by ${terminal.slice(0, 1)} is over with it: no K is awaited`, () =>
      Effect.gen(function* () {
        const opened = yield* open()
        const scope = yield* Scope.make()
        yield* Scope.provide(accepted(opened), scope)
        const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
        assert.strictEqual(yield* opened.server.next, "C")
        yield* opened.server.send(terminal)
        yield* Fiber.join(closing)
        yield* answered(opened, "two")
      })
    )
  }

  it.effect("is not sent once the terminal message has come", () =>
    Effect.gen(function* () {
      const opened = yield* open()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const response = yield* accepted(opened)
          yield* opened.server.send("F a")
          yield* collect(response.chunks)
        })
      )
      yield* answered(opened, "two")
    })
  )

  it.effect("that is not acknowledged within cancelTimeout drops the connection", () =>
    Effect.gen(function* () {
      const opened = yield* open({ cancelTimeout: "5 seconds" })
      const scope = yield* Scope.make()
      yield* Scope.provide(accepted(opened), scope)
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      assert.strictEqual(yield* opened.server.next, "C")
      yield* TestClock.adjust("4999 millis")
      yield* opened.server.send("H")
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(closing)
      assert.strictEqual(yield* opened.server.next, "closed")
      const error = yield* Effect.flip(opened.client.request(bytes("two")))
      assert.match(error.message, /cancelTimeout/)
    })
  )
})

describe("a request that is no Uint8Array", () => {
  it.effect.each<[unknown, string]>([
    ["text", '"text"'],
    [new ArrayBuffer(2), "an ArrayBuffer"],
    [undefined, "undefined"]
  ])("but %s is a defect, and sends nothing", ([body, shown]) =>
    Effect.gen(function* () {
      const { client, server } = yield* open()
      const exit = yield* Effect.exit(Effect.scoped(client.request(body as never)))
      assert.include(String(exit), `request: expected a Uint8Array, got ${shown}`)
      const fiber = yield* Effect.forkChild(Effect.flip(Effect.scoped(client.request(bytes("next")))))
      assert.strictEqual(yield* server.next, "R next")
      yield* server.send('J {"code":"later","message":"no","retryable":true}')
      assert.isTrue((yield* Fiber.join(fiber)).retryable)
    })
  )
})

describe("a server that takes no request", () => {
  it.effect("does not hold up a cancel for longer than cancelTimeout", () =>
    Effect.gen(function* () {
      const [near, far] = yield* MemorySocket.pair({ capacity: 16 })
      const client = yield* Client.make(near, { cancelTimeout: "5 seconds" })
      const fiber = yield* Effect.forkChild(Effect.scoped(client.request(new Uint8Array(1000))), {
        startImmediately: true
      })
      yield* Served.settle
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(fiber), { startImmediately: true })
      yield* TestClock.adjust("4999 millis")
      assert.isUndefined(interrupting.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(interrupting)
      assert.isFalse(client.isOpen())
      const server = yield* ServerPeer.make(far)
      assert.match(yield* server.next, /^R /)
      assert.strictEqual(yield* server.next, "closed")
    })
  )

  it.effect("fails the request after writeTimeout", () =>
    Effect.gen(function* () {
      const [near] = yield* MemorySocket.pair({ capacity: 16 })
      const client = yield* Client.make(near, { writeTimeout: "30 seconds" })
      const fiber = yield* Effect.forkChild(Effect.exit(client.request(new Uint8Array(1000))), {
        startImmediately: true
      })
      yield* TestClock.adjust("30 seconds")
      const exit = yield* Fiber.join(fiber)
      assert.strictEqual(failure(exit), "ClientError ConnectionLost")
      assert.match(String(exit), /writeTimeout/)
    })
  )
})

describe("a lost connection", () => {
  it.effect("fails the stream after the chunks that came, and never ends it", () =>
    Effect.gen(function* () {
      const opened = yield* open()
      const response = yield* accepted(opened)
      const seen: Array<string> = []
      const fiber = yield* Stream.runForEach(response.chunks, (chunk) =>
        Effect.sync(() => void seen.push(text(chunk)))
      ).pipe(Effect.exit, Effect.forkChild({ startImmediately: true }))
      yield* opened.server.send("I a")
      yield* opened.server.close
      assert.strictEqual(failure(yield* Fiber.join(fiber)), "ClientError ConnectionLost")
      assert.deepStrictEqual(seen, ["a"])
    })
  )

  for (const [seconds, shown] of [
    [5, /closed it\. If the query changes something, /],
    [
      400,
      /closed it\. The response was not read on for 400 s at a time, .*\(its writeTimeout\)\. If the query/
    ]
  ] as const) {
    it.effect(`that was not read for ${seconds} s is told apart`, () =>
      Effect.gen(function* () {
        const opened = yield* open()
        const response = yield* accepted(opened)
        yield* opened.server.send("I a")
        yield* TestClock.adjust(Duration.seconds(seconds))
        yield* opened.server.close
        const error = yield* Effect.flip(collect(response.chunks))
        assert.match(error instanceof Error ? error.message : "", shown)
      })
    )
  }

  it.effect("inside a frame is lost too", () =>
    Effect.gen(function* () {
      const opened = yield* open()
      const response = yield* accepted(opened)
      const fiber = yield* Effect.forkChild(Effect.exit(collect(response.chunks)), { startImmediately: true })
      yield* opened.server.sendBytes(Message.encode(ServerPeer.frame("F whole")).subarray(0, 8))
      yield* opened.server.close
      assert.strictEqual(failure(yield* Fiber.join(fiber)), "ClientError ConnectionLost")
    })
  )

  it.effect("before the answer fails the request", () =>
    Effect.gen(function* () {
      const { client, server } = yield* open()
      const fiber = yield* Effect.forkChild(Effect.exit(client.request(bytes("one"))))
      assert.strictEqual(yield* server.next, "R one")
      yield* server.close
      assert.strictEqual(failure(yield* Fiber.join(fiber)), "ClientError ConnectionLost")
    })
  )

  it.effect("between requests is noticed, and the next request says that nothing was sent", () =>
    Effect.gen(function* () {
      const { client, server } = yield* open()
      yield* server.close
      yield* TestClock.adjust(0)
      assert.isFalse(client.isOpen())
      assert.strictEqual(
        failure(yield* Effect.exit(client.request(bytes("one")))),
        "ClientError ConnectionClosed"
      )
      assert.strictEqual(
        failure(yield* Effect.exit(client.request(bytes("two")))),
        "ClientError ConnectionClosed"
      )
    })
  )

  it.effect("fails a request that is about to be sent, and says so", () =>
    Effect.gen(function* () {
      const { client, server } = yield* open()
      const requesting = yield* Effect.forkChild(client.request(bytes("one")), { startImmediately: true })
      yield* server.close
      yield* Served.settle
      const exit = requesting.pollUnsafe()
      assert.strictEqual(exit && failure(exit), "ClientError ConnectionClosed")
    })
  )

  it.effect("fails a waiting request as well", () =>
    Effect.gen(function* () {
      const opened = yield* open()
      const response = yield* accepted(opened)
      const waiting = yield* Effect.forkChild(Effect.exit(opened.client.request(bytes("two"))), {
        startImmediately: true
      })
      yield* opened.server.close
      assert.strictEqual(failure(yield* Effect.exit(collect(response.chunks))), "ClientError ConnectionLost")
      assert.strictEqual(failure(yield* Fiber.join(waiting)), "ClientError ConnectionClosed")
    })
  )

  it.effect("by closing the client fails the response", () =>
    Effect.gen(function* () {
      const [near, far] = yield* MemorySocket.pair()
      const server = yield* ServerPeer.make(far)
      const scope = yield* Scope.make()
      const client = yield* Scope.provide(Client.make(near), scope)
      const response = yield* accepted({ client, server })
      const fiber = yield* Effect.forkChild(Effect.exit(collect(response.chunks)), { startImmediately: true })
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(failure(yield* Fiber.join(fiber)), "ClientError ConnectionLost")
      assert.strictEqual(yield* server.next, "closed")
    })
  )
})

describe("silence", () => {
  it.effect("longer than the tolerance fails the request that waits, and drops the connection", () =>
    Effect.gen(function* () {
      const { client, server } = yield* open({ heartbeatTolerance: "15 seconds" })
      const fiber = yield* Effect.forkChild(Effect.exit(client.request(bytes("one"))))
      assert.strictEqual(yield* server.next, "R one")
      yield* TestClock.adjust("14999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(failure(yield* Fiber.join(fiber)), "ClientError ServerSilent")
      assert.strictEqual(yield* server.next, "closed")
    })
  )

  it.effect("is broken by a heartbeat and by any part of a frame", () =>
    Effect.gen(function* () {
      const opened = yield* open({ heartbeatTolerance: "15 seconds" })
      const response = yield* accepted(opened)
      const fiber = yield* Effect.forkChild(Effect.exit(collect(response.chunks)), { startImmediately: true })
      const frame = Message.encode(ServerPeer.frame("F whole"))
      yield* TestClock.adjust("14 seconds")
      yield* opened.server.send("H")
      yield* TestClock.adjust("14 seconds")
      yield* opened.server.sendBytes(frame.subarray(0, 7))
      yield* TestClock.adjust("14 seconds")
      yield* opened.server.sendBytes(frame.subarray(7, 8))
      yield* TestClock.adjust("14 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual(failure(yield* Fiber.join(fiber)), "ClientError ServerSilent")
    })
  )

  it.effect("does not count while a request is written, whatever became of the one before", () =>
    Effect.gen(function* () {
      const opened = yield* open({ heartbeatTolerance: "15 seconds" }, { capacity: 8 })
      yield* answered(opened, "one")
      const early = yield* Effect.forkChild(
        Effect.exit(opened.client.request(bytes("too long for the socket")))
      )
      yield* TestClock.adjust("1 second")
      yield* opened.server.send("J no")
      assert.strictEqual(failure(yield* Fiber.join(early)), "QueryRejected")
      const next = yield* Effect.forkChild(opened.client.request(bytes("as long as that one was")), {
        startImmediately: true
      })
      assert.strictEqual(yield* opened.server.next, "R too long for the socket")
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(yield* opened.server.next, "R as long as that one was")
      yield* opened.server.send("A yes", "F")
      assert.deepStrictEqual(yield* collect((yield* Fiber.join(next)).chunks), [])
    })
  )

  it.effect("between requests ends the client: it is not open, and says that nothing was sent", () =>
    Effect.gen(function* () {
      const { client, server } = yield* open({ heartbeatTolerance: "15 seconds" })
      for (let i = 0; i < 10; i++) {
        yield* TestClock.adjust("14 seconds")
        yield* server.send("H")
      }
      yield* TestClock.adjust("14999 millis")
      assert.isTrue(client.isOpen())
      yield* TestClock.adjust("1 millis")
      assert.isFalse(client.isOpen())
      assert.strictEqual(yield* server.next, "closed")
      const exit = yield* Effect.exit(client.request(bytes("one")))
      assert.strictEqual(failure(exit), "ClientError ConnectionClosed")
      assert.match(String(exit), /silent for 15000 ms \(heartbeatTolerance\)/)
    })
  )

  it.effect("after a response counts from its last byte", () =>
    Effect.gen(function* () {
      const opened = yield* open({ heartbeatTolerance: "15 seconds" })
      yield* TestClock.adjust("10 seconds")
      yield* answered(opened, "one")
      yield* TestClock.adjust("14 seconds")
      assert.isTrue(opened.client.isOpen())
      yield* TestClock.adjust("1 seconds")
      assert.isFalse(opened.client.isOpen())
    })
  )

  it.effect("does not count while nobody waits for chunks", () =>
    Effect.gen(function* () {
      const opened = yield* open({ heartbeatTolerance: "15 seconds" })
      const response = yield* accepted(opened)
      yield* TestClock.adjust("1 hour")
      const fiber = yield* Effect.forkChild(Effect.exit(collect(response.chunks)), { startImmediately: true })
      yield* TestClock.adjust("14 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* opened.server.send("F a")
      assert.deepStrictEqual(yield* Fiber.join(fiber), Exit.succeed(["a"]))
    })
  )
})

describe("back-pressure", () => {
  it.effect("nothing is read of a response but what its consumer waits for", () =>
    Effect.gen(function* () {
      const opened = yield* open({}, { capacity: 8 })
      const response = yield* accepted(opened)
      const before = opened.server.bytesWritten()
      const framesSent = () => (opened.server.bytesWritten() - before) / 6
      const sending = yield* Effect.forkChild(
        Effect.andThen(Effect.replicateEffect(opened.server.send("I x"), 49), opened.server.send("F x")),
        { startImmediately: true }
      )
      // Two frames fill the socket, and nobody takes them.
      yield* TestClock.adjust("1 second")
      assert.strictEqual(framesSent(), 2)
      let taken = 0
      yield* Stream.runForEach(response.chunks, () =>
        Effect.gen(function* () {
          taken++
          yield* TestClock.adjust("1 second")
          assert.isAtMost(framesSent() - taken, 4)
        })
      )
      assert.strictEqual(taken, 50)
      yield* Fiber.join(sending)
    })
  )

  it.effect("heartbeats between requests are read", () =>
    Effect.gen(function* () {
      const opened = yield* open({}, { capacity: 16 })
      yield* Effect.replicateEffect(opened.server.send("H"), 100)
      yield* answered(opened, "one")
    })
  )
})

describe("a second request", () => {
  it.effect("waits for the end of the first response", () =>
    Effect.gen(function* () {
      const opened = yield* open()
      const first = yield* accepted(opened)
      const second = yield* Effect.forkChild(
        Effect.scoped(
          Effect.flatMap(opened.client.request(bytes("two")), (response) => collect(response.chunks))
        )
      )
      const reading = yield* Effect.forkChild(collect(first.chunks), { startImmediately: true })
      yield* opened.server.send("I a")
      yield* TestClock.adjust("1 second")
      yield* opened.server.send("F")
      assert.strictEqual(yield* opened.server.next, "R two")
      assert.deepStrictEqual(yield* Fiber.join(reading), ["a"])
      yield* opened.server.send("A yes", "F b")
      assert.deepStrictEqual(yield* Fiber.join(second), ["b"])
    })
  )

  it.effect("that is given up while it waits, in a scope that stays open, gives up its turn", () =>
    Effect.gen(function* () {
      const opened = yield* open()
      const first = yield* accepted(opened)
      const second = yield* Effect.forkChild(opened.client.request(bytes("two")), { startImmediately: true })
      const third = yield* Effect.forkChild(accepted(opened, "three"), { startImmediately: true })
      yield* Fiber.interrupt(second)
      yield* opened.server.send("F a")
      assert.deepStrictEqual(yield* collect(first.chunks), ["a"])
      const { chunks } = yield* Fiber.join(third)
      yield* opened.server.send("F b")
      assert.deepStrictEqual(yield* collect(chunks), ["b"])
    })
  )

  it.effect("whose turn comes while the socket is full, and that is given up then, sends nothing", () =>
    Effect.gen(function* () {
      const opened = yield* open({}, { capacity: 16 })
      const first = yield* Effect.forkChild(Effect.scoped(opened.client.request(new Uint8Array(100))), {
        startImmediately: true
      })
      yield* Served.settle
      yield* opened.server.send("J no")
      assert.strictEqual(failure(yield* Fiber.await(first)), "QueryRejected")
      const second = yield* Effect.forkChild(Effect.scoped(opened.client.request(bytes("two"))), {
        startImmediately: true
      })
      yield* Fiber.interrupt(second)
      assert.strictEqual((yield* opened.server.next).slice(0, 1), "R")
      yield* answered(opened, "three")
    })
  )

  it.effect("whose scope closes while it waits ends", () =>
    Effect.gen(function* () {
      const opened = yield* open()
      const first = yield* accepted(opened)
      const scope = yield* Scope.make()
      const second = yield* Effect.forkChild(Scope.provide(opened.client.request(bytes("two")), scope), {
        startImmediately: true
      })
      yield* Scope.close(scope, Exit.void)
      assert.match(failure(yield* Fiber.await(second)), /only while its scope is open/)
      yield* opened.server.send("F a")
      assert.deepStrictEqual(yield* collect(first.chunks), ["a"])
      yield* answered(opened, "three")
    })
  )

  it.effect("fails beyond maxQueuedRequests, and the client goes on", () =>
    Effect.gen(function* () {
      const opened = yield* open({ maxQueuedRequests: 1 })
      const first = yield* accepted(opened)
      const second = yield* Effect.forkChild(answered(opened, "two"), { startImmediately: true })
      yield* Served.settle
      const third = yield* Effect.exit(Effect.scoped(opened.client.request(bytes("three"))))
      assert.strictEqual(failure(third), "ClientError TooManyRequests")
      assert.match(String(Exit.isFailure(third) && Cause.squash(third.cause)), /maxQueuedRequests/)
      yield* opened.server.send("F a")
      assert.deepStrictEqual(yield* collect(first.chunks), ["a"])
      yield* Fiber.join(second)
      assert.isTrue(opened.client.isOpen())
      yield* answered(opened, "four")
    })
  )

  it.effect("that is given up while it waits sends nothing", () =>
    Effect.gen(function* () {
      const opened = yield* open()
      const first = yield* accepted(opened)
      const second = yield* Effect.forkChild(Effect.scoped(opened.client.request(bytes("two"))), {
        startImmediately: true
      })
      yield* Fiber.interrupt(second)
      yield* opened.server.send("F a")
      assert.deepStrictEqual(yield* collect(first.chunks), ["a"])
      yield* answered(opened, "three")
    })
  )
})

describe("a server that breaks the protocol is dropped:", () => {
  const violations: Record<string, ReadonlyArray<string>> = {
    "a chunk before the accept": ["I a"],
    "a final chunk before the accept": ["F a"],
    "an error before the accept": ["E a"],
    "an acknowledged cancel without a cancel": ["K"],
    "a second accept": ["A yes", "A yes"],
    "a reject after the accept": ["A yes", "J no"],
    "a client's message": ["R select"]
  }
  for (const [name, frames] of Object.entries(violations)) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const { client, server } = yield* open()
        const fiber = yield* client.request(bytes("one")).pipe(
          Effect.flatMap((response) => collect(response.chunks)),
          Effect.scoped,
          Effect.exit,
          Effect.forkChild
        )
        assert.strictEqual(yield* server.next, "R one")
        yield* server.send(...frames)
        assert.strictEqual(failure(yield* Fiber.join(fiber)), "ClientError ProtocolViolation")
        assert.strictEqual(yield* server.next, "closed")
      })
    )
  }

  it.effect("bytes that are no frame", () =>
    Effect.gen(function* () {
      const { client, server } = yield* open()
      const fiber = yield* Effect.forkChild(Effect.exit(client.request(bytes("one"))))
      assert.strictEqual(yield* server.next, "R one")
      yield* server.sendBytes(bytes("HTTP/1.1 400 Bad Request\r\n"))
      assert.strictEqual(failure(yield* Fiber.join(fiber)), "ClientError ProtocolViolation")
    })
  )

  it.effect("a message between requests", () =>
    Effect.gen(function* () {
      const { client, server } = yield* open()
      yield* server.send("F a")
      assert.strictEqual(yield* server.next, "closed")
      assert.isFalse(client.isOpen())
    })
  )

  it.effect("but a response that was whole before it stays whole", () =>
    Effect.gen(function* () {
      const opened = yield* open()
      const response = yield* accepted(opened)
      yield* opened.server.send("F a", "F b")
      assert.deepStrictEqual(yield* collect(response.chunks), ["a"])
      assert.isFalse(opened.client.isOpen())
    })
  )
})
