import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { type Engine, QueryEngine } from "../../src/engine/QueryEngine.ts"
import * as Transport from "../../src/net/Transport.ts"
import { ConnectionEvents, type Listener } from "../../src/server/ConnectionEvents.ts"
import * as Connections from "../../src/server/Connections.ts"
import * as Settings from "../../src/server/Settings.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"
import * as Peer from "../support/Peer.ts"
import { settle } from "../support/Served.ts"

const accepted = { payload: new Uint8Array(0), chunks: Stream.never }

/** A server in memory with two connections, each of which has sent a request. */
const open = Effect.fnUntraced(function* (engine: Engine, publish: Listener["publish"] = () => Effect.void) {
  const log: Array<string> = []
  const logger = Logger.make(({ message }) => void log.push(String(message)))
  const scope = yield* Scope.make()
  const connections = yield* Connections.make({
    ...Settings.defaults,
    maxConnections: 10,
    maxRefusals: 1,
    maxConcurrentQueries: 10,
    maxQueuedQueries: 0,
    maxUnfinishedBytes: 1000,
    drainTimeout: "10 seconds"
  }).pipe(
    Scope.provide(scope),
    Effect.provideService(QueryEngine, engine),
    Effect.provideService(ConnectionEvents, { publish }),
    Effect.provide(Logger.layer([logger]))
  )
  const peers = new Map<string, Peer.Peer>()
  const dropped: Array<string> = []
  for (const name of ["stuck", "other"]) {
    const [near, far] = yield* MemorySocket.pair()
    connections.accept({
      transport: Transport.fromSocket(near),
      address: "one",
      endpoints: () => ({ local: "server", remote: name }),
      // The socket has not been opened.
      drop: () => void dropped.push(name)
    })
    const peer = yield* Peer.make(far)
    yield* settle
    yield* peer.request(name)
    yield* settle
    peers.set(name, peer)
  }
  const stop = Scope.close(scope, Exit.void).pipe(Effect.provide(Logger.layer([logger])))
  const stopping = yield* Effect.forkDetach(stop, { startImmediately: true })
  // One that is being opened is waited for, for a hundred turns.
  yield* Effect.replicateEffect(settle, 3)
  const { stopNow } = connections
  return { log, peers, dropped, stopNow, isStopped: () => stopping.pollUnsafe() !== undefined }
})

/** Stops it: it waits for as long as is promised, and no longer. */
const stopped = Effect.fnUntraced(function* ({
  dropped,
  isStopped,
  log,
  peers
}: Effect.Success<ReturnType<typeof open>>) {
  // The drain, and the time in which those that were interrupted may end.
  yield* TestClock.adjust("11999 millis")
  yield* settle
  assert.isFalse(isStopped())
  yield* TestClock.adjust("2001 millis")
  yield* settle
  assert.isTrue(isStopped())
  for (const [name, peer] of peers) {
    if (!dropped.includes(name)) assert.match((yield* peer.rest).at(-1) ?? "", /closed|reset/)
  }
  assert.strictEqual(log.length, 1)
  return log[0] ?? ""
})

const name = (request: Uint8Array) => new TextDecoder().decode(request)

describe("a server that stops", () => {
  it.effect("does not wait for ever for an engine that ignores its interruption", () =>
    Effect.gen(function* () {
      const opened = yield* open({
        init: (request) =>
          name(request) === "stuck" ? Effect.uninterruptible(Effect.never) : Effect.succeed(accepted)
      })
      const line = yield* stopped(opened)
      assert.match(line, /connection 1 \(stuck => server\).*the engine does not heed/)
    })
  )

  it.effect("does not wait for it at all in a hurry, but for last words and then for finalizers", () =>
    Effect.gen(function* () {
      const { isStopped, stopNow } = yield* open({ init: () => Effect.uninterruptible(Effect.never) })
      yield* stopNow
      yield* TestClock.adjust("499 millis")
      yield* settle
      assert.isFalse(isStopped())
      yield* TestClock.adjust("1 millis")
      yield* settle
      assert.isTrue(isStopped())
    })
  )

  it.effect("does not wait for ever for a result that ignores its interruption", () =>
    Effect.gen(function* () {
      const stuck = { ...accepted, chunks: Stream.fromEffect(Effect.uninterruptible(Effect.never)) }
      const opened = yield* open({
        init: (request) => Effect.succeed(name(request) === "stuck" ? stuck : accepted)
      })
      assert.match(yield* stopped(opened), /connection 1 .*the engine does not heed/)
    })
  )

  it.effect("does not wait for ever for a query's finalizer", () =>
    Effect.gen(function* () {
      const opened = yield* open({
        init: (request) =>
          name(request) === "stuck"
            ? Effect.as(
                Effect.addFinalizer(() => Effect.never),
                accepted
              )
            : Effect.succeed(accepted)
      })
      assert.match(yield* stopped(opened), /connection 1 .*a finalizer of its query/)
    })
  )

  for (const tag of ["Opened", "Request", "Accepted", "Failed", "Closed"] as const) {
    it.effect(`does not wait for ever for a listener to ${tag}`, () =>
      Effect.gen(function* () {
        const opened = yield* open({ init: () => Effect.succeed(accepted) }, (event) =>
          event._tag === tag && event.connection.id === 1 ? Effect.uninterruptible(Effect.never) : Effect.void
        )
        assert.match(yield* stopped(opened), new RegExp(`connection 1 .*ConnectionEvents .* ${tag}$`))
      })
    )
  }
})
