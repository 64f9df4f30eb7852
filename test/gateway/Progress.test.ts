/**
 * How far a query is, as its verdict says it.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Stream from "effect/Stream"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import * as Gateway from "../../src/gateway/Gateway.ts"
import type * as GatewayConfig from "../../src/gateway/GatewayConfig.ts"
import * as Address from "../../src/net/Address.ts"
import * as LiveServer from "../support/LiveServer.ts"
import * as Poll from "../support/Poll.ts"
import * as Served from "./Served.ts"

const engine = QueryApi.makeEngine({
  formats: QueryApi.Format.literals,
  run: () => Effect.succeed({ progress: () => ({ fraction: 0.5, totalRows: 20 }), chunks: Stream.never })
})

/** A gateway before the engine. */
const start = Effect.fnUntraced(function* (options: Partial<GatewayConfig.Options> = {}) {
  const backend = yield* LiveServer.start(engine)
  const gateway = yield* Gateway.make({
    http: ["127.0.0.1:0"],
    backends: { main: [Address.format(backend.address)] },
    ...options
  })
  return { backend, url: Served.urlOf(gateway.addresses[0] as Address.Address) }
})

/** The verdict of a query that runs, and of the same when it was cancelled. */
const verdicts = Effect.fnUntraced(function* (search: string, options?: Partial<GatewayConfig.Options>) {
  const { backend, url } = yield* start(options)
  const fiber = yield* Effect.forkChild(
    Served.fetched(`${url}/v1/query?queryId=mine${search}`, Served.sql("x"))
  )
  yield* backend.event("Accepted")
  const verdict = Effect.map(Served.fetched(`${url}/v1/queries/mine`), (answer) => answer.json())
  let running: Record<string, unknown> = {}
  yield* Poll.untilEffect(
    () => "the gateway has the accept",
    Effect.map(verdict, (found) => {
      running = found
      return "address" in found
    })
  )
  yield* Served.fetched(`${url}/v1/queries/mine`, { method: "DELETE" })
  yield* Fiber.interrupt(fiber)
  return { running, ended: yield* verdict, backend }
})

describe("the verdict of a query", () => {
  it.live("that was asked for with progress says how far it is, as long as it runs", () =>
    Effect.gen(function* () {
      const { ended, running } = yield* verdicts("&progress=true")
      assert.deepInclude(running, { state: "running", progress: { fraction: 0.5, totalRows: 20 } })
      assert.strictEqual(ended["state"], "cancelled")
      assert.notProperty(ended, "progress")
    }).pipe(Effect.provide(Logger.layer([])))
  )

  it.live("that was asked for without does not, and nobody is asked", () =>
    Effect.gen(function* () {
      const { backend, running } = yield* verdicts("&progress=false")
      assert.notProperty(running, "progress")
      assert.strictEqual(backend.events.filter(({ _tag }) => _tag === "Request").length, 1)
    }).pipe(Effect.provide(Logger.layer([])))
  )

  it.live("does not wait for a back-end that no connection is left to", () =>
    Effect.gen(function* () {
      const { running } = yield* verdicts("&progress=true", { backendConnections: 1 })
      assert.deepInclude(running, { state: "running" })
      assert.notProperty(running, "progress")
    }).pipe(Effect.provide(Logger.layer([])))
  )
})

describe("the events of a query", () => {
  it.live("that was asked for with progress say how far the engine is", () =>
    Effect.gen(function* () {
      const { url } = yield* start({ progressInterval: "10 millis" })
      const fiber = yield* Effect.forkChild(
        Served.fetched(`${url}/v1/query?format=events&queryId=mine&progress=true`, Served.sql("x"))
      )
      const verdict = Effect.map(Served.fetched(`${url}/v1/queries/mine`), (answer) => answer.json())
      // One of them has been made by then.
      yield* Poll.untilEffect(
        () => "the query runs for a while",
        Effect.map(verdict, ({ durationMs }) => Number(durationMs) > 500)
      )
      yield* Served.fetched(`${url}/v1/queries/mine`, { method: "DELETE" })
      const { text } = yield* Fiber.join(fiber)
      assert.match(
        text,
        /^\{"type":"progress","rows":0,"bytes":0,"elapsedMs":\d+,"fraction":0.5,"totalRows":20\}$/m
      )
    }).pipe(Effect.provide(Logger.layer([])))
  )
})
