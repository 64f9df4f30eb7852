import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Socket from "effect/socket/Socket"
import * as TestClock from "effect/testing/TestClock"
import * as ClientPool from "../../src/client/ClientPool.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"
import { Living } from "../faults/Living.ts"
import { failure } from "../support/Failure.ts"
import { answer, bytes, open, server, start } from "../support/PoolServers.ts"
import * as Served from "../support/Served.ts"
import * as ServerPeer from "../support/ServerPeer.ts"

/** For servers that send no heartbeats. */
const heartbeatTolerance = Number.POSITIVE_INFINITY

const ended = (fiber: Fiber.Fiber<unknown, unknown>) => Effect.map(Fiber.await(fiber), failure)

describe("the connections of a pool", () => {
  it.effect("are made when requests need them, and used again", () =>
    Effect.gen(function* () {
      const opened = yield* open()
      yield* Served.settle
      assert.strictEqual(opened.made(), 0)
      for (const name of ["one", "two", "three"]) {
        const fiber = yield* start(opened, name)
        yield* answer(opened, 0, name)
        assert.strictEqual(yield* Fiber.join(fiber), `of ${name}`)
      }
      assert.strictEqual(opened.made(), 1)
    })
  )

  it.effect("are as many as requests are in flight, and no more than maxConnections", () =>
    Effect.gen(function* () {
      const opened = yield* open({ maxConnections: 2 })
      const [one, two, three, four] = yield* Effect.all([
        start(opened, "one"),
        start(opened, "two"),
        start(opened, "three"),
        start(opened, "four")
      ])
      assert.strictEqual(opened.made(), 2)
      // Whoever waited first is next, on whichever connection is free first.
      yield* answer(opened, 1, "two")
      assert.strictEqual(yield* Fiber.join(two), "of two")
      yield* answer(opened, 1, "three")
      assert.strictEqual(yield* Fiber.join(three), "of three")
      yield* answer(opened, 1, "four")
      yield* answer(opened, 0, "one")
      assert.strictEqual(yield* Fiber.join(one), "of one")
      assert.strictEqual(yield* Fiber.join(four), "of four")
      assert.strictEqual(opened.made(), 2)
    })
  )

  it.effect("are closed after idleTimeout without use", () =>
    Effect.gen(function* () {
      const opened = yield* open({ idleTimeout: "1 minute", heartbeatTolerance })
      const fiber = yield* start(opened, "one")
      yield* answer(opened, 0, "one")
      yield* Fiber.join(fiber)
      yield* TestClock.adjust("59 seconds")
      assert.deepStrictEqual(opened.closed, [])
      yield* TestClock.adjust("61 seconds")
      assert.deepStrictEqual(opened.closed, [0])
      const next = yield* start(opened, "two")
      yield* answer(opened, 1, "two")
      assert.strictEqual(yield* Fiber.join(next), "of two")
    })
  )

  it.effect("are closed when fewer of them are needed", () =>
    Effect.gen(function* () {
      const opened = yield* open({ idleTimeout: "1 minute", heartbeatTolerance })
      const both = yield* Effect.all([start(opened, "one"), start(opened, "two")])
      yield* answer(opened, 0, "one")
      yield* answer(opened, 1, "two")
      yield* Effect.forEach(both, Fiber.join)
      for (const name of ["three", "four", "five"]) {
        yield* TestClock.adjust("25 seconds")
        const fiber = yield* start(opened, name)
        yield* answer(opened, 1, name)
        yield* Fiber.join(fiber)
      }
      assert.deepStrictEqual(opened.closed, [0])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(opened.closed, [0, 1])
    })
  )

  it.effect("count until they are closed, and a request waits for that", () =>
    Effect.gen(function* () {
      const limits = { maxConnections: 1, maxQueuedRequests: 0 }
      const opened = yield* open({ ...limits, idleTimeout: "1 minute", heartbeatTolerance })
      const one = yield* start(opened, "one")
      yield* answer(opened, 0, "one")
      yield* Fiber.join(one)
      opened.closing.hook = Effect.sleep("10 seconds")
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(opened.closed, [0])
      const two = yield* start(opened, "two")
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(opened.made(), 1)
      yield* TestClock.adjust("1 second")
      opened.closing.hook = Effect.void
      yield* answer(opened, 1, "two")
      assert.strictEqual(yield* Fiber.join(two), "of two")
    })
  )

  it.effect("cost no timer for each request", () =>
    Effect.gen(function* () {
      const living = new Living()
      const requests = Effect.gen(function* () {
        const opened = yield* open({ heartbeatTolerance })
        for (let i = 0; i < 10; i++) {
          const fiber = yield* start(opened, `${i}`)
          yield* answer(opened, 0, `${i}`)
          yield* Fiber.join(fiber)
        }
        assert.strictEqual(living.sleeps, 1)
      })
      yield* Fiber.join(yield* living.fork(Effect.scoped(requests)))
      assert.strictEqual(living.sleeps, 0)
    })
  )

  it.effect("stay open without use if idleTimeout is infinite", () =>
    Effect.gen(function* () {
      const opened = yield* open({ idleTimeout: Number.POSITIVE_INFINITY, heartbeatTolerance })
      const fiber = yield* start(opened, "one")
      yield* answer(opened, 0, "one")
      yield* Fiber.join(fiber)
      yield* TestClock.adjust("1000 days")
      assert.deepStrictEqual(opened.closed, [])
    })
  )

  it.effect("stay with a response until it has arrived", () =>
    Effect.gen(function* () {
      const opened = yield* open({
        maxConnections: 1,
        idleTimeout: "1 minute",
        heartbeatTolerance
      })
      const first = yield* start(opened, "one")
      assert.strictEqual(yield* server(opened, 0).next, "R one")
      yield* server(opened, 0).send("A yes", "I half, ")
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual(opened.closed, [])
      const second = yield* start(opened, "two")
      const next = yield* Effect.forkChild(server(opened, 0).next, { startImmediately: true })
      yield* Served.settle
      assert.isUndefined(next.pollUnsafe())
      yield* server(opened, 0).send("F whole")
      assert.strictEqual(yield* Fiber.join(first), "half, whole")
      assert.strictEqual(yield* Fiber.join(next), "R two")
      yield* server(opened, 0).send("A yes", "F of two")
      assert.strictEqual(yield* Fiber.join(second), "of two")
    })
  )

  it.effect("stay with one that has not arrived until its scope closes", () =>
    Effect.gen(function* () {
      const opened = yield* open({ maxConnections: 1 })
      const scope = yield* Scope.make()
      const first = yield* Effect.forkChild(Scope.provide(opened.client.request(bytes("one")), scope), {
        startImmediately: true
      })
      yield* Served.settle
      assert.strictEqual(yield* server(opened, 0).next, "R one")
      yield* server(opened, 0).send("A yes", "I half")
      yield* Fiber.join(first)
      const second = yield* start(opened, "two")
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      assert.strictEqual(yield* server(opened, 0).next, "C")
      yield* server(opened, 0).send("K")
      yield* Fiber.join(closing)
      yield* answer(opened, 0, "two")
      assert.strictEqual(yield* Fiber.join(second), "of two")
    })
  )

  it.effect("take the next request of a scope that has responses which have arrived", () =>
    Effect.gen(function* () {
      const opened = yield* open({ maxConnections: 1 })
      const inOneScope = Effect.forEach(["one", "two", "three"], (name) =>
        Effect.map(opened.client.request(bytes(name)), ({ chunks }) => chunks)
      )
      const requesting = yield* Effect.forkChild(inOneScope, { startImmediately: true })
      yield* Served.settle
      for (const name of ["one", "two", "three"]) yield* answer(opened, 0, name)
      const texts = Effect.forEach(yield* Fiber.join(requesting), (chunks) =>
        Stream.mkString(Stream.decodeText(chunks))
      )
      assert.deepStrictEqual(yield* texts, ["of one", "of two", "of three"])
    })
  )

  it.effect(
    "are free again when a request that waits for its accept is interrupted, in whichever scope",
    () =>
      Effect.gen(function* () {
        const opened = yield* open({ maxConnections: 1 })
        const requesting = yield* Effect.forkChild(opened.client.request(bytes("one")), {
          startImmediately: true
        })
        yield* Served.settle
        assert.strictEqual(yield* server(opened, 0).next, "R one")
        const interrupted = yield* Effect.forkChild(Fiber.interrupt(requesting), { startImmediately: true })
        assert.strictEqual(yield* server(opened, 0).next, "C")
        yield* server(opened, 0).send("K")
        yield* Fiber.join(interrupted)
        const second = yield* start(opened, "two")
        yield* answer(opened, 0, "two")
        assert.strictEqual(yield* Fiber.join(second), "of two")
      })
  )

  it.effect("are free again when a request was rejected, in whichever scope", () =>
    Effect.gen(function* () {
      const opened = yield* open({ maxConnections: 1 })
      for (const name of ["one", "two"]) {
        const fiber = yield* Effect.forkChild(opened.client.request(bytes(name)), { startImmediately: true })
        yield* Served.settle
        assert.strictEqual(yield* server(opened, 0).next, `R ${name}`)
        yield* server(opened, 0).send("J no")
        assert.strictEqual(yield* ended(fiber), "QueryRejected")
      }
      assert.strictEqual(opened.made(), 1)
    })
  )

  it.effect("are free again when a cancel has been acknowledged", () =>
    Effect.gen(function* () {
      const opened = yield* open({ maxConnections: 1 })
      const first = yield* start(opened, "one")
      assert.strictEqual(yield* server(opened, 0).next, "R one")
      yield* server(opened, 0).send("A yes", "I a")
      const second = yield* start(opened, "two")
      const interrupted = yield* Effect.forkChild(Fiber.interrupt(first), { startImmediately: true })
      assert.strictEqual(yield* server(opened, 0).next, "C")
      yield* server(opened, 0).send("K")
      yield* Fiber.join(interrupted)
      yield* answer(opened, 0, "two")
      assert.strictEqual(yield* Fiber.join(second), "of two")
      assert.strictEqual(opened.made(), 1)
    })
  )
})

describe("a connection of a pool that has ended", () => {
  it.effect("in idleness costs no request", () =>
    Effect.gen(function* () {
      const opened = yield* open({ maxConnections: 2 })
      const [one, two] = yield* Effect.all([start(opened, "one"), start(opened, "two")])
      yield* answer(opened, 0, "one")
      yield* answer(opened, 1, "two")
      yield* Fiber.join(one)
      yield* Fiber.join(two)
      yield* server(opened, 0).close
      yield* server(opened, 1).close
      yield* Served.settle
      const next = yield* start(opened, "three")
      yield* answer(opened, 2, "three")
      assert.strictEqual(yield* Fiber.join(next), "of three")
      assert.sameMembers(opened.closed, [0, 1])
    })
  )

  it.effect("right behind a response costs no request that has not been sent, nor its place", () =>
    Effect.gen(function* () {
      const opened = yield* open({ maxConnections: 1 })
      const fibers = yield* Effect.forEach(["one", "two", "three"], (name) => start(opened, name))
      yield* answer(opened, 0, "one")
      yield* server(opened, 0).close
      yield* Served.settle
      yield* answer(opened, 1, "two")
      yield* answer(opened, 1, "three")
      const texts = yield* Effect.forEach(fibers, Fiber.join)
      assert.deepStrictEqual(texts, ["of one", "of two", "of three"])
    })
  )

  it.effect("right behind a response leaves a request that is given up then unsent", () =>
    Effect.gen(function* () {
      const opened = yield* open({ maxConnections: 1 }, (count) => Effect.sleep(count * 1000))
      const [one, two] = yield* Effect.all([start(opened, "one"), start(opened, "two")])
      yield* answer(opened, 0, "one")
      yield* server(opened, 0).close
      yield* Fiber.join(one)
      yield* Served.settle
      yield* Fiber.interrupt(two)
      const three = yield* start(opened, "three")
      yield* TestClock.adjust("2 seconds")
      yield* answer(opened, 1, "three")
      assert.strictEqual(yield* Fiber.join(three), "of three")
    })
  )

  it.effect("and takes its time to close holds up no request that may have another one", () =>
    Effect.gen(function* () {
      const opened = yield* open({ maxConnections: 2 })
      const one = yield* start(opened, "one")
      yield* answer(opened, 0, "one")
      yield* Fiber.join(one)
      opened.closing.hook = Effect.sleep("1 hour")
      const two = yield* Effect.forkChild(Effect.scoped(opened.client.request(bytes("two"))), {
        startImmediately: true
      })
      yield* server(opened, 0).close
      yield* Served.settle
      yield* answer(opened, 1, "two")
      yield* Fiber.join(two)
      opened.closing.hook = Effect.void
      yield* TestClock.adjust("1 hour")
    })
  )

  it.effect("during a response fails that one, which is not sent again, and no other", () =>
    Effect.gen(function* () {
      const opened = yield* open({ maxConnections: 2 })
      const [one, two, three] = yield* Effect.all([
        start(opened, "one"),
        start(opened, "two"),
        start(opened, "three")
      ])
      yield* server(opened, 0).send("A yes", "I a")
      yield* server(opened, 0).close
      assert.strictEqual(yield* ended(one), "ClientError ConnectionLost")
      yield* Served.settle
      yield* answer(opened, 2, "three")
      yield* answer(opened, 1, "two")
      assert.strictEqual(yield* Fiber.join(two), "of two")
      assert.strictEqual(yield* Fiber.join(three), "of three")
      assert.strictEqual(opened.made(), 3)
    })
  )

  it.effect("before the accept fails the request: the server may have run it", () =>
    Effect.gen(function* () {
      const opened = yield* open({ maxConnections: 1 })
      const fiber = yield* start(opened, "one")
      assert.strictEqual(yield* server(opened, 0).next, "R one")
      yield* server(opened, 0).close
      assert.strictEqual(yield* ended(fiber), "ClientError ConnectionLost")
      assert.strictEqual(opened.made(), 1)
    })
  )

  for (let turns = 0; turns < 30; turns++) {
    it.effect(`although it is new, after ${turns} turns, is not replaced without end`, () =>
      Effect.gen(function* () {
        let made = 0
        const connect = Effect.gen(function* () {
          made++
          const [near, far] = yield* MemorySocket.pair()
          const peer = yield* Effect.orDie(ServerPeer.make(far))
          const close = Effect.andThen(Effect.replicateEffect(Effect.yieldNow, turns), peer.close)
          yield* turns === 0 ? close : Effect.forkScoped(close)
          return near
        })
        const client = yield* ClientPool.make(connect, { maxConnections: 1 })
        for (const tries of [1, 2]) {
          const exit = yield* Effect.exit(Effect.scoped(client.request(bytes("one"))))
          assert.match(failure(exit), /^ClientError Connection(Closed|Lost)$/)
          assert.strictEqual(made, tries)
          yield* TestClock.adjust("100 millis")
        }
      })
    )
  }

  it.effect("although it is new costs no request if it was free before that", () =>
    Effect.gen(function* () {
      const opened = yield* open({ maxConnections: 2 }, (count) => Effect.sleep(count * 1000))
      const [one, two] = yield* Effect.all([start(opened, "one"), start(opened, "two")])
      yield* answer(opened, 0, "one")
      yield* Fiber.join(one)
      assert.strictEqual(yield* server(opened, 0).next, "R two")
      yield* TestClock.adjust("1 second")
      const three = yield* Effect.forkChild(Effect.scoped(opened.client.request(bytes("three"))), {
        startImmediately: true
      })
      yield* server(opened, 1).close
      yield* Served.settle
      yield* server(opened, 0).send("A yes", "F of two")
      assert.strictEqual(yield* Fiber.join(two), "of two")
      yield* answer(opened, 0, "three")
      yield* Fiber.join(three)
    })
  )
})

const refused = new Socket.SocketError({
  reason: new Socket.SocketOpenError({ kind: "Unknown", cause: new Error("connection refused") })
})

describe("a server that cannot be reached", () => {
  it.effect("fails each request, until it can", () =>
    Effect.gen(function* () {
      const opened = yield* open({ maxConnections: 2 }, (count) =>
        count < 7 ? Effect.fail(refused) : Effect.void
      )
      for (let i = 0; i < 7; i++) {
        const fiber = yield* start(opened, "early")
        assert.strictEqual(yield* ended(fiber), "ClientError ConnectFailed")
        yield* TestClock.adjust("5 seconds")
      }
      const fiber = yield* start(opened, "late")
      yield* answer(opened, 0, "late")
      assert.strictEqual(yield* Fiber.join(fiber), "of late")
    })
  )

  it.effect("fails those that wait, too", () =>
    Effect.gen(function* () {
      const opened = yield* open({ maxConnections: 1 }, () => Effect.delay(Effect.fail(refused), "1 second"))
      const [one, two, three] = yield* Effect.all([
        start(opened, "one"),
        start(opened, "two"),
        start(opened, "three")
      ])
      yield* TestClock.adjust("3 seconds")
      for (const fiber of [one, two, three])
        assert.strictEqual(yield* ended(fiber), "ClientError ConnectFailed")
    })
  )

  it.effect("any more fails those that wait, however many", () =>
    Effect.gen(function* () {
      const opened = yield* open({ maxConnections: 1, maxQueuedRequests: 10_000 }, (count) =>
        count === 0 ? Effect.void : Effect.fail(refused)
      )
      const first = yield* start(opened, "first")
      const waiting = yield* Effect.forkChild(
        Effect.forEach(
          Array(10_000).keys(),
          () => Effect.exit(Effect.scoped(opened.client.request(bytes("more")))),
          { concurrency: "unbounded" }
        ),
        { startImmediately: true }
      )
      yield* Served.settle
      yield* server(opened, 0).close
      assert.strictEqual(yield* ended(first), "ClientError ConnectionLost")
      yield* TestClock.adjust("100 millis")
      const ends = new Set((yield* Fiber.join(waiting)).map(failure))
      assert.deepStrictEqual([...ends], ["ClientError ConnectFailed"])
    })
  )
})

describe("requests beyond maxQueuedRequests", () => {
  it.effect("fail, and the others go on", () =>
    Effect.gen(function* () {
      const opened = yield* open({ maxConnections: 1, maxQueuedRequests: 1 })
      const [one, two] = yield* Effect.all([start(opened, "one"), start(opened, "two")])
      const third = yield* start(opened, "three")
      assert.strictEqual(yield* ended(third), "ClientError TooManyRequests")
      yield* answer(opened, 0, "one")
      assert.strictEqual(yield* Fiber.join(one), "of one")
      const fourth = yield* start(opened, "four")
      yield* answer(opened, 0, "two")
      yield* answer(opened, 0, "four")
      assert.strictEqual(yield* Fiber.join(two), "of two")
      assert.strictEqual(yield* Fiber.join(fourth), "of four")
    })
  )

  it.effect("are not those that have been interrupted while they waited", () =>
    Effect.gen(function* () {
      const opened = yield* open({ maxConnections: 1, maxQueuedRequests: 1 })
      const first = yield* start(opened, "one")
      for (let i = 0; i < 3; i++) yield* Fiber.interrupt(yield* start(opened, "waiting"))
      const last = yield* start(opened, "last")
      yield* answer(opened, 0, "one")
      yield* Fiber.join(first)
      yield* answer(opened, 0, "last")
      assert.strictEqual(yield* Fiber.join(last), "of last")
    })
  )
})

describe("a pool that is closed", () => {
  it.effect("breaks off what is in flight and fails what waits, however long their scopes stay open", () =>
    Effect.gen(function* () {
      const opened = yield* open({ maxConnections: 1 })
      const scope = yield* Scope.make()
      const request = (name: string) =>
        Effect.forkChild(Scope.provide(opened.client.request(bytes(name)), scope), { startImmediately: true })
      const first = yield* request("one")
      yield* Served.settle
      yield* server(opened, 0).send("A yes", "I a")
      const { chunks } = yield* Fiber.join(first)
      const waiting = yield* request("two")
      yield* Served.settle
      assert.isTrue(opened.client.isOpen())

      yield* opened.close
      assert.isFalse(opened.client.isOpen())
      assert.deepStrictEqual(opened.closed, [0])
      assert.strictEqual(yield* ended(waiting), "ClientError ConnectionClosed")
      const read: Array<string> = []
      const collected = Stream.runForEach(Stream.decodeText(chunks), (text) =>
        Effect.sync(() => void read.push(text))
      )
      assert.strictEqual(failure(yield* Effect.exit(collected)), "ClientError ConnectionLost")
      assert.deepStrictEqual(read, ["a"])
      const late = yield* start(opened, "late")
      assert.strictEqual(yield* ended(late), "ClientError ConnectionClosed")
      yield* Scope.close(scope, Exit.void)
    })
  )

  it.effect("takes no request while its connections close", () =>
    Effect.gen(function* () {
      const opened = yield* open({ maxConnections: 2 })
      const scope = yield* Scope.make()
      for (const [i, name] of ["one", "two"].entries()) {
        const request = opened.client.request(bytes(name))
        const fiber = yield* Effect.forkChild(Scope.provide(request, scope), { startImmediately: true })
        yield* Served.settle
        yield* server(opened, i).send("A yes", "I a")
        yield* Fiber.join(fiber)
      }
      const ends: Array<string> = []
      opened.closing.hook = Effect.map(
        Effect.exit(Effect.scoped(opened.client.request(bytes("late")))),
        (exit) => void ends.push(failure(exit))
      )
      yield* opened.close
      assert.deepStrictEqual(ends, ["ClientError ConnectionClosed", "ClientError ConnectionClosed"])
      assert.sameMembers(opened.closed, [0, 1])
      assert.strictEqual(opened.made(), 2)
      yield* Scope.close(scope, Exit.void)
    })
  )

  it.effect("closes its connections side by side", () =>
    Effect.gen(function* () {
      const opened = yield* open({ maxConnections: 2 })
      const both = yield* Effect.all([start(opened, "one"), start(opened, "two")])
      yield* answer(opened, 0, "one")
      yield* answer(opened, 1, "two")
      yield* Effect.forEach(both, Fiber.join)
      opened.closing.hook = Effect.sleep("1 second")
      const closing = yield* Effect.forkChild(opened.close, { startImmediately: true })
      yield* TestClock.adjust("1 second")
      assert.isDefined(closing.pollUnsafe())
    })
  )

  it.effect("fails a consumer that waits for chunks", () =>
    Effect.gen(function* () {
      const opened = yield* open()
      const fiber = yield* start(opened, "one")
      yield* server(opened, 0).send("A yes", "I a")
      yield* Served.settle
      yield* opened.close
      assert.strictEqual(yield* ended(fiber), "ClientError ConnectionLost")
    })
  )
})

const goodbye = (code: string) => `J {"code":"${code}","message":"goodbye","retryable":true,"closing":true}`

describe("a server that goes away", () => {
  /** A pool with a connection that has been used. */
  const used = Effect.fnUntraced(function* () {
    const opened = yield* open()
    const fiber = yield* start(opened, "one")
    yield* answer(opened, 0, "one")
    yield* Fiber.join(fiber)
    return opened
  })

  it.effect("has its connection replaced before the next request", () =>
    Effect.gen(function* () {
      const opened = yield* used()
      yield* server(opened, 0).send(goodbye("shutting_down"))
      yield* Served.settle
      assert.deepStrictEqual(opened.closed, [0])
      const next = yield* start(opened, "two")
      yield* answer(opened, 1, "two")
      assert.strictEqual(yield* Fiber.join(next), "of two")
    })
  )

  it.effect("has a request that crosses its goodbye sent on another connection, once", () =>
    Effect.gen(function* () {
      const opened = yield* used()
      const next = yield* start(opened, "two")
      yield* server(opened, 0).send(goodbye("shutting_down"))
      yield* Served.settle
      yield* answer(opened, 1, "two")
      assert.strictEqual(yield* Fiber.join(next), "of two")
      assert.strictEqual(opened.made(), 2)
    })
  )

  it.effect("is not asked again and again by way of new connections", () =>
    Effect.gen(function* () {
      const opened = yield* used()
      const next = yield* start(opened, "two")
      yield* server(opened, 0).send(goodbye("shutting_down"))
      yield* Served.settle
      yield* server(opened, 1).send(goodbye("overloaded"))
      assert.strictEqual(yield* ended(next), "QueryRejected")
      assert.strictEqual(opened.made(), 2)
    })
  )

  it.effect("that says so before a request was sent has rejected it", () =>
    Effect.gen(function* () {
      const opened = yield* open()
      const only = yield* start(opened, "one")
      yield* server(opened, 0).send(goodbye("overloaded"))
      assert.strictEqual(yield* ended(only), "QueryRejected")
    })
  )

  it.effect("is not sent a request that was cancelled meanwhile", () =>
    Effect.gen(function* () {
      const opened = yield* used()
      const next = yield* start(opened, "two")
      const interruption = yield* Effect.forkChild(Fiber.interrupt(next), { startImmediately: true })
      yield* server(opened, 0).send(goodbye("shutting_down"))
      yield* Fiber.join(interruption)
      yield* Served.settle
      assert.strictEqual(opened.made(), 1)
      assert.deepStrictEqual(opened.closed, [0])
    })
  )

  it.effect("keeps a reject that trying again does not help", () =>
    Effect.gen(function* () {
      const opened = yield* used()
      const next = yield* start(opened, "two")
      yield* server(opened, 0).send('J {"code":"too_large","message":"no","retryable":false,"closing":true}')
      assert.strictEqual(yield* ended(next), "QueryRejected")
      assert.strictEqual(opened.made(), 1)
    })
  )
})
