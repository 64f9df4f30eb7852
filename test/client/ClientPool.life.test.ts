/**
 * A pool before dead connections, and before servers that cannot be reached: whom it gives a request, when it connects
 * again, and how long a request waits.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Socket from "effect/socket/Socket"
import * as TestClock from "effect/testing/TestClock"
import type { Client } from "../../src/client/Client.ts"
import * as ClientPool from "../../src/client/ClientPool.ts"
import type { PoolSettings } from "../../src/client/Settings.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"
import { failure } from "../support/Failure.ts"
import * as Served from "../support/Served.ts"
import * as ServerPeer from "../support/ServerPeer.ts"

const bytes = (text: string) => new TextEncoder().encode(text)
const never = Number.POSITIVE_INFINITY

const refused = new Socket.SocketError({
  reason: new Socket.SocketOpenError({ kind: "Unknown", cause: new Error("connection refused") })
})

/** A test's clock that a busy thread looks at too late: time goes on, and nothing else has happened. */
const busyClock = Effect.map(Clock.Clock, (base) => {
  let aheadMillis = 0
  const clock: Clock.Clock = Object.setPrototypeOf(
    { monotonicTimeNanosUnsafe: () => base.monotonicTimeNanosUnsafe() + BigInt(aheadMillis) * 1_000_000n },
    base
  )
  return {
    clock,
    beBusy: (millis: number) => {
      aheadMillis += millis
    }
  }
})

/** A pool, its servers in the order of their connections, and how the attempts to connect went. */
const open = Effect.fnUntraced(function* (
  settings: Partial<PoolSettings> = {},
  before: (count: number) => Effect.Effect<void, Socket.SocketError> = () => Effect.void
) {
  const scope = yield* Effect.scope
  const servers: Array<ServerPeer.ServerPeer> = []
  /** When connections began to be made. */
  const begun: Array<number> = []
  let closed = 0
  const connect = Effect.gen(function* () {
    begun.push(yield* Clock.currentTimeMillis)
    yield* Effect.addFinalizer(() => Effect.sync(() => void closed++))
    yield* before(begun.length)
    const [near, far] = yield* Scope.provide(MemorySocket.pair(), scope)
    servers.push(yield* Effect.orDie(Scope.provide(ServerPeer.make(far), scope)))
    return near
  })
  const client = yield* ClientPool.make(connect, settings)
  const server = (index: number): ServerPeer.ServerPeer => {
    const server = servers[index]
    if (server === undefined) throw new Error(`There are ${servers.length} connections`)
    return server
  }
  return { client, server, begun, closed: () => closed }
})

type Opened = Effect.Success<ReturnType<typeof open>>

const ask = (client: Client["Service"], name: string) =>
  client.request(bytes(name)).pipe(
    Effect.flatMap(({ chunks }) => Stream.mkString(Stream.decodeText(chunks))),
    Effect.scoped
  )

const start = ({ client }: Opened, name: string) =>
  Effect.tap(Effect.forkChild(ask(client, name), { startImmediately: true }), () => Served.settle)

const answer = Effect.fnUntraced(function* (opened: Opened, index: number, name: string) {
  assert.strictEqual(yield* opened.server(index).next, `R ${name}`)
  yield* opened.server(index).send("A yes", `F of ${name}`)
})

/** A whole request on one of the connections. */
const exchange = Effect.fnUntraced(function* (opened: Opened, index: number, name: string) {
  const fiber = yield* start(opened, name)
  yield* answer(opened, index, name)
  assert.strictEqual(yield* Fiber.join(fiber), `of ${name}`)
})

const ended = (fiber: Fiber.Fiber<unknown, unknown>) => Effect.map(Fiber.await(fiber), failure)

/** How a request has ended by now. */
const endOf = (fiber: Fiber.Fiber<unknown, unknown>): string => {
  const exit = fiber.pollUnsafe()
  if (exit === undefined) return "waits"
  return failure(exit)
}

describe("a connection of a pool that nobody uses", () => {
  it.effect("is closed when its server has been silent for the tolerance, and replaced", () =>
    Effect.gen(function* () {
      const opened = yield* open({ heartbeatTolerance: "15 seconds", idleTimeout: never })
      yield* exchange(opened, 0, "one")
      yield* TestClock.adjust("15 seconds")
      assert.strictEqual(yield* opened.server(0).next, "closed")
      yield* exchange(opened, 1, "two")
    })
  )

  it.effect("stays for as long as heartbeats come", () =>
    Effect.gen(function* () {
      const opened = yield* open({ heartbeatTolerance: "15 seconds", idleTimeout: never })
      yield* exchange(opened, 0, "one")
      for (let i = 0; i < 10; i++) {
        yield* TestClock.adjust("14 seconds")
        yield* opened.server(0).send("H")
      }
      yield* exchange(opened, 0, "two")
      assert.strictEqual(opened.begun.length, 1)
    })
  )

  for (const isAlive of [true, false]) {
    const what = isAlive ? "is used if heartbeats have come" : "is replaced if none has come"
    it.effect(`is looked at after a busy stretch of the thread: ${what}`, () =>
      Effect.gen(function* () {
        const { beBusy, clock } = yield* busyClock
        yield* Effect.provideService(
          Effect.gen(function* () {
            const opened = yield* open({ heartbeatTolerance: "15 seconds", idleTimeout: never })
            yield* exchange(opened, 0, "one")
            yield* TestClock.adjust("5 seconds")
            beBusy(20_000)
            const fiber = yield* Effect.forkChild(ask(opened.client, "two"), { startImmediately: true })
            if (isAlive) yield* opened.server(0).send("H")
            // The runtime's timer that the busy stretch has made late.
            yield* TestClock.adjust("4 seconds")
            yield* Served.settle
            assert.strictEqual(opened.begun.length, isAlive ? 1 : 2)
            yield* answer(opened, isAlive ? 0 : 1, "two")
            assert.strictEqual(yield* Fiber.join(fiber), "of two")
          }),
          Clock.Clock,
          clock
        )
      })
    )
  }
})

describe("connecting again", () => {
  it.effect("waits longer with each failure, up to maxReconnectDelay, and not at all after a success", () =>
    Effect.gen(function* () {
      const opened = yield* open(
        { reconnectDelay: 100, maxReconnectDelay: "1 second", maxConnections: 1, heartbeatTolerance: never },
        (count) => (count <= 6 ? Effect.fail(refused) : Effect.void)
      )
      for (let i = 0; i < 6; i++) {
        const fiber = yield* start(opened, "early")
        while (fiber.pollUnsafe() === undefined) yield* TestClock.adjust(10)
        assert.strictEqual(yield* ended(fiber), "ClientError ConnectFailed")
        assert.strictEqual(opened.begun.length, i + 1)
      }
      const last = yield* start(opened, "last")
      yield* TestClock.adjust("1010 millis")
      yield* answer(opened, 0, "last")
      yield* Fiber.join(last)
      const waits = opened.begun.slice(1).map((at, i) => at - (opened.begun[i] ?? 0))
      const parts = waits.map((wait, i) => wait / Math.min(1000, 100 * 2 ** i))
      for (const part of parts) {
        assert.isAtLeast(part, 0.5)
        assert.isAtMost(part, 1.02)
      }
      assert.strictEqual(new Set(parts).size, parts.length)

      yield* opened.server(0).close
      yield* Served.settle
      yield* exchange(opened, 1, "after")
    }).pipe(Random.withSeed("jitter"))
  )

  it.effect("is done at once for those that wait, where the server is known to answer", () =>
    Effect.gen(function* () {
      const opened = yield* open(
        { connectTimeout: "2 hours", reconnectDelay: "1 hour", maxReconnectDelay: "1 hour" },
        (count) => (count === 1 ? Effect.fail(refused) : Effect.void)
      )
      yield* Fiber.await(yield* start(opened, "one"))
      const two = yield* start(opened, "two")
      assert.strictEqual(opened.begun.length, 1)
      yield* opened.client.reachable
      yield* Served.settle
      yield* answer(opened, 0, "two")
      assert.strictEqual(yield* Fiber.join(two), "of two")
    })
  )

  it.effect("is not tried while nobody waits", () =>
    Effect.gen(function* () {
      const opened = yield* open({}, () => Effect.fail(refused))
      assert.strictEqual(yield* ended(yield* start(opened, "one")), "ClientError ConnectFailed")
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(opened.begun.length, 1)
    })
  )

  it.effect("waits after a server that closes new connections at once, too", () =>
    Effect.gen(function* () {
      const opened = yield* open({ maxConnections: 1, reconnectDelay: "1 second" })
      const both = [yield* start(opened, "one"), yield* start(opened, "two")] as const
      yield* opened.server(0).close
      assert.strictEqual(yield* ended(both[0]), "ClientError ConnectionLost")
      yield* TestClock.adjust("499 millis")
      assert.strictEqual(opened.begun.length, 1)
      yield* TestClock.adjust("511 millis")
      yield* answer(opened, 1, "two")
      assert.strictEqual(yield* Fiber.join(both[1]), "of two")
    })
  )

  it.effect("counts attempts that were under way together as one", () =>
    Effect.gen(function* () {
      const opened = yield* open({ maxConnections: 8, reconnectDelay: 100 }, (count) =>
        count <= 8 ? Effect.delay(Effect.fail(refused), "1 second") : Effect.void
      )
      const fibers = yield* Effect.forEach(Array(8).keys(), (i) => start(opened, `${i}`))
      yield* TestClock.adjust("1 second")
      for (const fiber of fibers) assert.strictEqual(yield* ended(fiber), "ClientError ConnectFailed")
      const next = yield* start(opened, "next")
      yield* TestClock.adjust("101 millis")
      yield* answer(opened, 0, "next")
      assert.strictEqual(yield* Fiber.join(next), "of next")
    })
  )

  it.effect("is what isOpen tells of: nothing can take a request meanwhile", () =>
    Effect.gen(function* () {
      const opened = yield* open({ reconnectDelay: 100, heartbeatTolerance: never }, (count) =>
        count === 1 ? Effect.fail(refused) : Effect.void
      )
      assert.isTrue(opened.client.isOpen())
      yield* Fiber.await(yield* start(opened, "one"))
      assert.isFalse(opened.client.isOpen())
      yield* TestClock.adjust("100 millis")
      assert.isTrue(opened.client.isOpen())
      yield* exchange(opened, 0, "two")
      assert.isTrue(opened.client.isOpen())
    })
  )
})

describe("an attempt to connect", () => {
  it.effect("ends with the request that it was made for", () =>
    Effect.gen(function* () {
      const opened = yield* open({ maxConnections: 4 }, () => Effect.never)
      const fibers = yield* Effect.forEach(["one", "two", "three"], (name) => start(opened, name))
      assert.strictEqual(opened.begun.length, 3)
      for (const [i, fiber] of fibers.entries()) {
        assert.strictEqual(opened.closed(), i)
        yield* Fiber.interrupt(fiber)
        yield* Served.settle
      }
      assert.strictEqual(opened.closed(), 3)
    })
  )

  it.effect("goes on for a request that waits although another one has gone", () =>
    Effect.gen(function* () {
      const opened = yield* open({ maxConnections: 1 }, () => Effect.sleep("1 second"))
      const [first, second] = [yield* start(opened, "first"), yield* start(opened, "second")]
      yield* Fiber.interrupt(first)
      yield* TestClock.adjust("1 second")
      yield* answer(opened, 0, "second")
      assert.strictEqual(yield* Fiber.join(second), "of second")
      assert.strictEqual(opened.begun.length, 1)
    })
  )

  it.effect("that hangs fails all requests that wait within connectTimeout, however many", () =>
    Effect.gen(function* () {
      const opened = yield* open({ maxConnections: 2, connectTimeout: "1 second" }, () => Effect.never)
      const fibers = yield* Effect.forEach(Array(20).keys(), (i) => start(opened, `${i}`))
      yield* TestClock.adjust("500 millis")
      const late = yield* start(opened, "late")
      yield* TestClock.adjust("499 millis")
      assert.deepStrictEqual(new Set(fibers.map(endOf)), new Set(["waits"]))
      yield* TestClock.adjust("1 millis")
      for (const fiber of fibers) assert.strictEqual(yield* ended(fiber), "ClientError ConnectFailed")
      const [first] = fibers
      assert.match(String(first?.pollUnsafe()), /no connection within 1000 ms \(connectTimeout\)/)
      yield* TestClock.adjust("510 millis")
      assert.strictEqual(endOf(late), "ClientError ConnectFailed")
      yield* Served.settle
      assert.strictEqual(opened.closed(), opened.begun.length)
    })
  )

  it.effect("that is put off holds no request up for longer than connectTimeout", () =>
    Effect.gen(function* () {
      const opened = yield* open(
        { connectTimeout: "1 second", reconnectDelay: "1 hour", maxReconnectDelay: "1 hour" },
        () => Effect.fail(refused)
      )
      yield* Fiber.await(yield* start(opened, "one"))
      const two = yield* start(opened, "two")
      yield* TestClock.adjust("999 millis")
      assert.strictEqual(endOf(two), "waits")
      yield* TestClock.adjust("12 millis")
      assert.strictEqual(endOf(two), "ClientError ConnectFailed")
    })
  )

  it.effect(
    "that fails leaves a request to the connections that are busy, and fails one of those that wait",
    () =>
      Effect.gen(function* () {
        const opened = yield* open(
          { maxConnections: 2, reconnectDelay: "1 hour", maxReconnectDelay: "1 hour" },
          (count) => (count === 1 ? Effect.void : Effect.delay(Effect.fail(refused), "1 second"))
        )
        const one = yield* start(opened, "one")
        const [two, three] = [yield* start(opened, "two"), yield* start(opened, "three")]
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* ended(two), "ClientError ConnectFailed")
        assert.isTrue(opened.client.isOpen())
        yield* answer(opened, 0, "one")
        yield* answer(opened, 0, "three")
        assert.strictEqual(yield* Fiber.join(one), "of one")
        assert.strictEqual(yield* Fiber.join(three), "of three")
      })
  )
})

describe("requestTimeout", () => {
  const timedOut = (fiber: Fiber.Fiber<unknown, unknown>) => {
    const exit = fiber.pollUnsafe()
    if (exit === undefined) return "waits"
    assert.strictEqual(failure(exit), "ClientError RequestTimeout")
    return /waited for other requests|waited for a connection|did not accept/.exec(String(exit))?.[0]
  }

  it.effect(
    "covers the wait for other requests, for a connection and for the accept, and tells which it was",
    () =>
      Effect.gen(function* () {
        const opened = yield* open(
          { maxConnections: 2, requestTimeout: "2 seconds", heartbeatTolerance: never },
          (count) => (count === 1 ? Effect.void : Effect.never)
        )
        const fibers = yield* Effect.forEach(["sent", "connecting", "waiting"], (name) => start(opened, name))
        assert.strictEqual(yield* opened.server(0).next, "R sent")
        yield* TestClock.adjust("1999 millis")
        assert.deepStrictEqual(fibers.map(endOf), ["waits", "waits", "waits"])
        yield* TestClock.adjust("21 millis")
        assert.deepStrictEqual(fibers.map(timedOut), [
          "did not accept",
          "waited for a connection",
          "waited for other requests"
        ])
        yield* Served.settle
        assert.strictEqual(opened.closed(), 1)

        // The connection is free again when the cancel has been acknowledged.
        assert.strictEqual(yield* opened.server(0).next, "C")
        yield* opened.server(0).send("K")
        yield* exchange(opened, 0, "next")
      })
  )

  it.effect("is one limit for all of them together", () =>
    Effect.gen(function* () {
      const opened = yield* open(
        { maxConnections: 1, requestTimeout: "3 seconds", heartbeatTolerance: never },
        () => Effect.sleep("1 second")
      )
      const first = yield* start(opened, "first")
      const fiber = yield* start(opened, "second")
      yield* TestClock.adjust("2 seconds")
      yield* answer(opened, 0, "first")
      yield* Fiber.join(first)
      assert.strictEqual(yield* opened.server(0).next, "R second")
      yield* TestClock.adjust("999 millis")
      assert.strictEqual(endOf(fiber), "waits")
      yield* TestClock.adjust("31 millis")
      assert.strictEqual(timedOut(fiber), "did not accept")
    })
  )

  it.effect("drops the connection if the server does not even acknowledge the cancel", () =>
    Effect.gen(function* () {
      const opened = yield* open({
        requestTimeout: "2 seconds",
        cancelTimeout: "1 second",
        heartbeatTolerance: never
      })
      const fiber = yield* start(opened, "one")
      yield* TestClock.adjust("2020 millis")
      assert.strictEqual(timedOut(fiber), "did not accept")
      assert.strictEqual(yield* opened.server(0).next, "R one")
      assert.strictEqual(yield* opened.server(0).next, "C")
      yield* TestClock.adjust("1010 millis")
      assert.strictEqual(yield* opened.server(0).next, "closed")
    })
  )

  it.effect("is no limit of a response that was accepted", () =>
    Effect.gen(function* () {
      const opened = yield* open({ requestTimeout: "2 seconds", heartbeatTolerance: never })
      const scope = yield* Scope.make()
      const requesting = yield* Effect.forkChild(Scope.provide(opened.client.request(bytes("one")), scope), {
        startImmediately: true
      })
      yield* Served.settle
      yield* TestClock.adjust("1 second")
      yield* opened.server(0).send("A yes")
      const { chunks } = yield* Fiber.join(requesting)
      yield* TestClock.adjust("1 hour")
      yield* opened.server(0).send("F whole")
      assert.strictEqual(yield* Stream.mkString(Stream.decodeText(chunks)), "whole")
      yield* Scope.close(scope, Exit.void)
    })
  )

  it.effect("does not end a request in the place of its owner, who has given it up before", () =>
    Effect.gen(function* () {
      const opened = yield* open({
        requestTimeout: "2 seconds",
        cancelTimeout: "10 seconds",
        heartbeatTolerance: never
      })
      const fiber = yield* start(opened, "one")
      yield* TestClock.adjust("1 second")
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(fiber), { startImmediately: true })
      yield* TestClock.adjust("5 seconds")
      assert.isUndefined(interrupting.pollUnsafe())
      yield* opened.server(0).send("K")
      yield* Fiber.join(interrupting)
      yield* TestClock.adjust("10 seconds")
      assert.isTrue(opened.client.isOpen())
      assert.strictEqual(opened.closed(), 0)
    })
  )
})
