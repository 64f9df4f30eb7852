import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as Events from "../../src/server/ConnectionEvents.ts"
import { type ConnectionEvent, ConnectionEvents } from "../../src/server/ConnectionEvents.ts"
import * as ConnectionLog from "../../src/server/ConnectionLog.ts"
import * as ConnectionMetrics from "../../src/server/ConnectionMetrics.ts"
import { accept, chunk, end } from "../../src/testing/StepEngine.ts"
import * as Served from "../support/Served.ts"

/** The server's metrics: `name` or `name end=complete`, and the value. */
const values = Effect.map(Metric.snapshot, (all) =>
  Object.fromEntries(
    all
      .filter(({ id }) => id.startsWith("dataconn_server_"))
      .map(({ attributes, id, state }) => {
        const label = Object.entries(attributes ?? {}).map(([name, value]) => `${name}=${value}`)
        return [[id.slice("dataconn_server_".length), ...label].join(" "), state]
      })
  )
)

it.effect("the metrics of connections count what opens, runs and ends, and pass the events on", () =>
  Effect.gen(function* () {
    const events: Array<string> = []
    const publish = (event: ConnectionEvent) => Effect.sync(() => void events.push(event._tag))
    const counted = yield* Effect.provide(ConnectionEvents, ConnectionMetrics.layer).pipe(
      Effect.provideService(ConnectionEvents, { publish })
    )
    const { ended, peer, steps } = yield* Served.open({ publish: counted?.publish })
    yield* peer.request("one")
    yield* Served.settle
    assert.deepInclude(yield* values, {
      connections: { value: 1 },
      queries: { value: 1 }
    })
    yield* steps.step(accept, chunk("abc"), end)
    assert.deepStrictEqual(yield* peer.take(2), ["A yes", "F abc"])
    yield* peer.request("two")
    yield* peer.cancel
    assert.strictEqual(yield* peer.next, "K")
    yield* peer.close
    yield* ended
    const after = yield* values
    assert.deepInclude(after, {
      connections: { value: 0 },
      queries: { value: 0 },
      "queries_total end=complete": { count: 1, incremental: true },
      "queries_total end=cancel": { count: 1, incremental: true },
      result_bytes_total: { count: 3, incremental: true },
      "connections_closed_total reason=read": { count: 1, incremental: true }
    })
    assert.deepInclude(after["query_seconds"], { count: 2 })
    assert.deepStrictEqual(events.at(0), "Opened")
    assert.deepStrictEqual(events.at(-1), "Closed")
  })
)

const opened: ConnectionEvent = { _tag: "Opened", connection: { id: 1, local: "a", remote: "b" } }

const publish = (listeners: Layer.Layer<never>) =>
  Effect.gen(function* () {
    const listener = yield* Effect.provide(ConnectionEvents, listeners)
    yield* listener?.publish(opened) ?? Effect.void
  })

it.effect("metrics, log and listener are all told, in any order, also after a listener that fails", () =>
  Effect.gen(function* () {
    const told: Array<string> = []
    const tells = (name: string) => () => Effect.sync(() => void told.push(name))
    const logger = Logger.make(() => void told.push("log"))
    const metrics = Layer.provide(Events.layer(tells("metrics")), ConnectionMetrics.layer)
    const log = ConnectionLog.layer({ maxBodyLength: 9 })
    const own = Events.layer(tells("own"))
    const fails = Events.layer(() => "none" as never)
    for (const [inner, outer] of [
      [log, own],
      [own, log],
      [log, metrics],
      [metrics, log],
      [Layer.provide(fails, log), own]
    ] as const) {
      yield* Effect.exit(Effect.provide(publish(Layer.provide(inner, outer)), Logger.layer([logger])))
    }
    assert.deepStrictEqual(told.join(" "), "log own own log log metrics metrics log log own")
    assert.deepInclude(yield* values, { connections: { value: 2 } })
  })
)

it.effect("servers that share a layer have listeners of their own", () =>
  Effect.gen(function* () {
    const told: Array<string> = []
    const server = (name: string) =>
      Layer.effectDiscard(
        Effect.flatMap(ConnectionEvents, (listener) => listener?.publish(opened) ?? Effect.void)
      ).pipe(
        Layer.provide(ConnectionMetrics.layer),
        Layer.provide(Events.layer(() => Effect.sync(() => void told.push(name))))
      )
    yield* Effect.scoped(Layer.build(Layer.merge(server("one"), server("two"))))
    assert.sameMembers(told, ["one", "two"])
  })
)
