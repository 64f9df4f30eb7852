import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Client from "../../src/client/Client.ts"
import * as ClientError from "../../src/client/ClientError.ts"
import * as ClientPool from "../../src/client/ClientPool.ts"
import type { PoolSettings } from "../../src/client/Settings.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"
import { failure } from "../support/Failure.ts"
import * as Served from "../support/Served.ts"
import * as ServerPeer from "../support/ServerPeer.ts"

const bytes = (text: string) => new TextEncoder().encode(text)

/** A pool whose connections' servers the test drives, in the order in which they were made. */
const open = Effect.fnUntraced(function* (
  settings: Partial<PoolSettings> = {},
  before: (count: number) => Effect.Effect<void, ClientError.ClientError> = () => Effect.void
) {
  const servers: Array<ServerPeer.ServerPeer> = []
  const scope = yield* Effect.scope
  const closed: Array<number> = []
  const closing = { hook: Effect.void }
  let count = 0
  const connect = Effect.gen(function* () {
    const id = count++
    yield* before(id)
    const [near, far] = yield* Scope.provide(MemorySocket.pair(), scope)
    const server = yield* Effect.orDie(Scope.provide(ServerPeer.make(far), scope))
    servers.push(server)
    yield* Effect.addFinalizer(() => {
      closed.push(id)
      return closing.hook
    })
    return yield* Client.make(near, settings)
  })
  const own = yield* Scope.fork(scope)
  const client = yield* Scope.provide(ClientPool.make(connect, settings), own)
  return { client, servers, closed, closing, close: Scope.close(own, Exit.void), made: () => count }
})

type Opened = Effect.Success<ReturnType<typeof open>>

const server = ({ servers }: Opened, index: number): ServerPeer.ServerPeer => {
  const server = servers[index]
  if (server === undefined) throw new Error(`There are ${servers.length} connections`)
  return server
}

/** Starts a request and reads its response to the end, in a scope of its own. */
const start = ({ client }: Opened, name: string) =>
  client.request(bytes(name)).pipe(
    Effect.flatMap(({ chunks }) => Stream.mkString(Stream.decodeText(chunks))),
    Effect.scoped,
    Effect.forkChild({ startImmediately: true }),
    Effect.tap(() => Served.settle)
  )

/** Answers a request on one of the connections. */
const answer = Effect.fnUntraced(function* (opened: Opened, index: number, name: string) {
  assert.strictEqual(yield* server(opened, index).next, `R ${name}`)
  yield* server(opened, index).send("A yes", `F of ${name}`)
})

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
      const opened = yield* open({ idleTimeout: "1 minute" })
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

  it.effect("stay with a response for as long as its scope is open", () =>
    Effect.gen(function* () {
      const opened = yield* open({ maxConnections: 1, idleTimeout: "1 minute" })
      const scope = yield* Scope.make()
      const first = yield* Effect.forkChild(Scope.provide(opened.client.request(bytes("one")), scope), {
        startImmediately: true
      })
      yield* Served.settle
      yield* answer(opened, 0, "one")
      yield* Fiber.join(first)
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual(opened.closed, [])
      const second = yield* start(opened, "two")
      yield* Scope.close(scope, Exit.void)
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

  it.effect("although it is new is not replaced without end", () =>
    Effect.gen(function* () {
      const connect = Effect.gen(function* () {
        const [near, far] = yield* MemorySocket.pair()
        const peer = yield* Effect.orDie(ServerPeer.make(far))
        const client = yield* Client.make(near)
        yield* peer.close
        yield* Served.settle
        return client
      })
      let made = 0
      const client = yield* ClientPool.make(
        Effect.andThen(
          Effect.sync(() => made++),
          connect
        )
      )
      assert.strictEqual(
        failure(yield* Effect.exit(Effect.scoped(client.request(bytes("one"))))),
        "ClientError ConnectionClosed"
      )
      assert.strictEqual(made, 1)
    })
  )
})

describe("a server that cannot be reached", () => {
  const refused = new ClientError.ClientError({
    reason: new ClientError.ConnectFailed({ server: "it", detail: "connection refused" })
  })

  it.effect("fails each request, until it can", () =>
    Effect.gen(function* () {
      const opened = yield* open({ maxConnections: 2 }, (count) =>
        count < 7 ? Effect.fail(refused) : Effect.void
      )
      for (let i = 0; i < 7; i++) {
        const fiber = yield* start(opened, "early")
        assert.strictEqual(yield* ended(fiber), "ClientError ConnectFailed")
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
      const names = ["one", "two"]
      for (const [i, name] of names.entries()) {
        const request = opened.client.request(bytes(name))
        const fiber = yield* Effect.forkChild(Scope.provide(request, scope), { startImmediately: true })
        yield* Served.settle
        yield* answer(opened, i, name)
        yield* Fiber.join(fiber)
      }
      // One that has ended is closed when its response gives it back, and the other one after that.
      yield* server(opened, 0).close
      yield* Served.settle
      const ends: Array<string> = []
      opened.closing.hook = Effect.map(
        Effect.exit(Effect.scoped(opened.client.request(bytes("late")))),
        (exit) => void ends.push(failure(exit))
      )
      yield* opened.close
      assert.deepStrictEqual(ends, ["ClientError ConnectionClosed", "ClientError ConnectionClosed"])
      assert.deepStrictEqual(opened.closed, [0, 1])
      assert.strictEqual(opened.made(), 2)
      yield* Scope.close(scope, Exit.void)
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

describe("maxConnections", () => {
  for (const maxConnections of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    it.effect(`may not be ${maxConnections}`, () =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(open({ maxConnections }))
        assert.match(failure(exit), /maxConnections must be a whole number/)
      })
    )
  }
})
