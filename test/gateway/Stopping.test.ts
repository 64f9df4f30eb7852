/**
 * A gateway that stops, and what its clients do meanwhile.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as Browser from "../../src/browser/index.ts"
import type * as GatewayConfig from "../../src/gateway/GatewayConfig.ts"
import * as Poll from "../support/Poll.ts"
import * as Raw from "./Raw.ts"
import * as Served from "./Served.ts"

const live = <E>(name: string, test: Effect.Effect<void, E, Scope.Scope>) =>
  it.live(name, () => Effect.provide(test, Logger.layer([])))

/** A gateway, and how it is stopped. */
const start = Effect.fnUntraced(function* (options: Partial<GatewayConfig.Options>) {
  const scope = yield* Scope.make()
  const served = yield* Scope.provide(Served.make(options), scope)
  return { served, stop: Scope.close(scope, Exit.void) }
})

const connect = ({ url }: Served.Served) => Browser.connect(`${url.replace("http", "ws")}/v1/stream`)

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => "whole",
    (error: Browser.QueryError) => `${error.code} ${error.retryable}`
  )

const upgrade = Raw.handshake()

describe("a gateway that stops", () => {
  live(
    "closes a WebSocket once it has no query, and tells its client so",
    Effect.gen(function* () {
      const { served, stop } = yield* start({ httpDrainTimeout: "1 hour" })
      const { engine, gateway } = served
      const [idle, busy, stuck] = yield* Effect.promise(() =>
        Promise.all([connect(served), connect(served), connect(served)])
      )
      const deaf = yield* Served.dial(served, upgrade)
      const held = busy.query({ query: "held 1" })
      const silent = stuck.query({ query: "silent" })
      yield* Effect.promise(() => Promise.all([held.accepted, silent.accepted]))
      const stopping = yield* Effect.forkChild(stop)
      assert.match(yield* Effect.promise(() => idle.closed), /shutting/)
      const refused = [idle.query({ query: "rows 1" }), busy.query({ query: "rows 1" })]
      yield* Effect.promise(async () => {
        for (const query of refused) assert.strictEqual(await codeOf(query.text()), "shutting_down true")
        assert.strictEqual(await codeOf(connect(served)), "shutting_down true")
      })
      yield* engine.release
      yield* Effect.promise(async () => {
        assert.strictEqual(await codeOf(held.text()), "execution_failed false")
        assert.match(await busy.closed, /shutting/)
      })
      assert.strictEqual(yield* gateway.queries, 1)
      const before = yield* Clock.monotonicTimeNanos
      yield* gateway.stopNow
      yield* Effect.promise(async () => {
        assert.strictEqual(await codeOf(silent.text()), "shutting_down true")
        assert.match(await stuck.closed, /shutting/)
      })
      yield* Fiber.join(stopping)
      // Nor does it wait for one that answers no close.
      assert.isBelow(Number((yield* Clock.monotonicTimeNanos) - before) / 1e6, 1900)
      deaf.resume()
      yield* Poll.until("it is closed", () => deaf.closed)
      assert.strictEqual(engine.begun(), engine.ended())
    })
  )

  live(
    "waits for no client that keeps its connection open, whatever it does with it",
    Effect.gen(function* () {
      const tls = (name: string) => new URL(`tls/${name}.pem`, import.meta.url).pathname
      const [plain, secure] = yield* Effect.all([
        start({ httpDrainTimeout: "100 millis" }),
        start({ httpCertificate: tls("certificate"), httpKey: tls("key") })
      ])
      const { served } = plain
      const dial = (request: string) => Served.dial(served, request)
      const sockets = [
        // It answers no close.
        yield* dial(upgrade),
        yield* dial(upgrade.slice(0, -2)),
        yield* dial(Served.post("rows 1").slice(0, -1)),
        yield* dial(Served.post("endless")),
        yield* dial(Served.post("silent", "?format=events")),
        yield* dial("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        yield* dial("GET"),
        // A handshake of TLS that does not go on.
        yield* Served.dial(secure.served, "\x16\x03\x01")
      ]
      const reader = yield* dial(upgrade)
      const query = { type: "query", id: 1, query: "endless", credit: 16_000_000 }
      reader.write(Raw.text(query))
      yield* Poll.until("the queries run", () => served.engine.begun() === 3)
      const before = yield* Clock.monotonicTimeNanos
      yield* Effect.all([plain.stop, secure.stop], { concurrency: "unbounded", discard: true })
      const millis = Number((yield* Clock.monotonicTimeNanos) - before) / 1e6
      assert.isBelow(millis, 4000)
      for (const socket of [...sockets, reader]) socket.resume()
      yield* Poll.until("all are closed", () => [...sockets, reader].every(({ closed }) => closed))
      assert.strictEqual(served.engine.begun(), served.engine.ended())
    })
  )
})
