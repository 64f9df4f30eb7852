import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import { type ConnectionEvent, ConnectionEvents } from "../../src/server/ConnectionEvents.ts"
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
