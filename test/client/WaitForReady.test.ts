/** A pool whose requests wait until their server is ready, and what is said of errors that a request may be repeated after. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Socket from "effect/socket/Socket"
import * as TestClock from "effect/testing/TestClock"
import * as ClientError from "../../src/client/ClientError.ts"
import { failure } from "../support/Failure.ts"
import { answer, open, server, start } from "../support/PoolServers.ts"

const refused = Effect.fail(
  new Socket.SocketError({
    reason: new Socket.SocketOpenError({ kind: "Unknown", cause: new Error("connection refused") })
  })
)

const goodbye =
  'J {"code":"shutting_down","message":"The server is shutting down","retryable":true,"closing":true}'

/** How a request has ended by now. */
const endOf = (fiber: Fiber.Fiber<unknown, unknown>): string => {
  const exit = fiber.pollUnsafe()
  if (exit === undefined) return "waits"
  return Exit.isSuccess(exit) ? "answered" : failure(exit)
}

const heartbeatTolerance = "Infinity"

describe("a request with waitForReady", () => {
  it.effect("is answered when the server is there again, and tries ever more rarely until then", () =>
    Effect.gen(function* () {
      const settings = { waitForReady: "30 seconds", maxConnections: 1, heartbeatTolerance } as const
      const opened = yield* open(settings, (count) => (count < 5 ? refused : Effect.void))
      const both = [yield* start(opened, "one"), yield* start(opened, "two")] as const
      // 0.1, 0.2, 0.4 and 0.8 seconds at most, and half of that at least.
      yield* TestClock.adjust("740 millis")
      assert.isBelow(opened.made(), 5)
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(opened.made(), 6)
      for (const name of ["one", "two"]) yield* answer(opened, 0, name)
      assert.deepStrictEqual(yield* Effect.forEach(both, Fiber.join), ["of one", "of two"])
    })
  )

  it.effect("fails as the last try did when the time is over, counted from when it was asked for", () =>
    Effect.gen(function* () {
      const settings = { waitForReady: "30 seconds", connectTimeout: "1 second" } as const
      const opened = yield* open(settings, () => refused)
      const first = yield* start(opened, "first")
      yield* TestClock.adjust("20 seconds")
      const second = yield* start(opened, "second")
      yield* TestClock.adjust("9999 millis")
      assert.deepStrictEqual([first, second].map(endOf), ["waits", "waits"])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual([first, second].map(endOf), ["ClientError ConnectFailed", "waits"])
      assert.include(String(first.pollUnsafe()), "connection refused")
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(endOf(second), "ClientError ConnectFailed")
    })
  )

  it.effect("waits no longer than its requestTimeout", () =>
    Effect.gen(function* () {
      const opened = yield* open({ waitForReady: "Infinity", requestTimeout: "30 seconds" }, () => refused)
      const one = yield* start(opened, "one")
      yield* TestClock.adjust("29 seconds")
      assert.strictEqual(endOf(one), "waits")
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual(endOf(one), "ClientError RequestTimeout")
    })
  )

  it.effect("waits for a server that says goodbye to each new connection, without a storm of them", () =>
    Effect.gen(function* () {
      const settings = { waitForReady: "30 seconds", maxConnections: 1, heartbeatTolerance } as const
      const opened = yield* open(settings)
      const one = yield* start(opened, "one")
      for (const index of [0, 1, 2]) {
        assert.strictEqual(yield* server(opened, index).next, "R one")
        yield* server(opened, index).send(goodbye)
        yield* server(opened, index).close
        yield* TestClock.adjust(49)
        assert.strictEqual(opened.made(), index + 1)
        yield* TestClock.adjust(400)
      }
      yield* answer(opened, 3, "one")
      assert.strictEqual(yield* Fiber.join(one), "of one")
    })
  )

  it.effect("waits for those that are answered on old connections while no new one can be made", () =>
    Effect.gen(function* () {
      const settings = { waitForReady: "30 seconds", maxConnections: 2, heartbeatTolerance } as const
      const opened = yield* open(settings, (count) => (count === 0 ? Effect.void : refused))
      const both = [yield* start(opened, "one"), yield* start(opened, "two")] as const
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(endOf(both[1]), "waits")
      for (const name of ["one", "two"]) yield* answer(opened, 0, name)
      assert.deepStrictEqual(yield* Effect.forEach(both, Fiber.join), ["of one", "of two"])
    })
  )

  it.effect("is not sent again once it was", () =>
    Effect.gen(function* () {
      const opened = yield* open({ waitForReady: "30 seconds" })
      const one = yield* start(opened, "one")
      assert.strictEqual(yield* server(opened, 0).next, "R one")
      yield* server(opened, 0).close
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(endOf(one), "ClientError ConnectionLost")
      assert.strictEqual(opened.made(), 1)
    })
  )
})

describe("a client's error", () => {
  const names = { server: "db", detail: "why" }
  const timeout = (phase: ClientError.RequestTimeout["phase"]) =>
    new ClientError.RequestTimeout({ server: "db", requestTimeoutMillis: 1, phase })

  it.each([
    [true, new ClientError.ConnectFailed(names)],
    [true, new ClientError.ConnectionClosed(names)],
    [true, new ClientError.TooManyRequests({ server: "db", maxQueuedRequests: 1 })],
    [true, new ClientError.QueueTimeout({ server: "db", queueTimeoutMillis: 1 })],
    [true, timeout("waiting")],
    [true, timeout("connecting")],
    [false, timeout("accept")],
    [false, new ClientError.RequestTooLarge({ server: "db", size: 2, maxRequestSize: 1 })],
    [false, new ClientError.ConnectionLost(names)],
    [false, new ClientError.ServerSilent({ server: "db", heartbeatToleranceMillis: 1 })],
    [false, new ClientError.ProtocolViolation(names)]
  ] as ReadonlyArray<readonly [boolean, ClientError.ClientErrorReason]>)(
    "is retryable: %s, %s",
    (is, reason) => {
      assert.strictEqual(new ClientError.ClientError({ reason }).retryable, is)
    }
  )
})
