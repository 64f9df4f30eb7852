/** The counters of the gateway, as Effect's metrics. */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import type { Backends } from "./Backends.ts"
import type { Entry } from "./Queries.ts"

const queries = Metric.counter("dataconn_gateway_queries_total", {
  description: "Queries that have ended, by target and by how they ended",
  incremental: true
})

const bytes = Metric.counter("dataconn_gateway_result_bytes_total", {
  description: "Bytes of results from back-ends, by target",
  incremental: true
})

const seconds = Metric.histogram("dataconn_gateway_query_seconds", {
  description: "Time from the request of a query to its end, by target",
  boundaries: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]
})

const refused = Metric.counter("dataconn_gateway_refused_total", {
  description: "Requests that were refused before a back-end saw them, by the code of the error",
  incremental: true
})

const running = Metric.gauge("dataconn_gateway_queries_running", { description: "Queries that run" })

const conversing = Metric.gauge("dataconn_gateway_conversations", { description: "Conversations that go on" })

const up = Metric.gauge("dataconn_gateway_backend_up", {
  description: "Whether an address of a back-end is in use (1) or not (0)"
})

const inFlight = Metric.gauge("dataconn_gateway_backend_queries", {
  description: "Queries that wait or run at an address of a back-end"
})

const seriesOf = (target: string, state: string) => ({
  queries: Metric.withAttributes(queries, { target, state }),
  bytes: Metric.withAttributes(bytes, { target }),
  seconds: Metric.withAttributes(seconds, { target })
})

/**
 * Cached by target and state, since making them takes longer than counting. There are no more targets than
 * are configured.
 */
const known = new Map<string, ReturnType<typeof seriesOf>>()

/** A query has ended. */
export const ended = ({ bytes, state, target }: Entry, elapsedMillis: number): Effect.Effect<void> => {
  const key = `${state} ${target}`
  const series = known.get(key) ?? seriesOf(target, state)
  known.set(key, series)
  return Effect.contextWith((context: Context.Context<never>) => {
    series.queries.updateUnsafe(1, context)
    series.bytes.updateUnsafe(bytes, context)
    series.seconds.updateUnsafe(elapsedMillis / 1000, context)
    return Effect.void
  })
}

/** A request was refused. */
export const refusal = (code: string): Effect.Effect<void> =>
  Metric.update(Metric.withAttributes(refused, { code }), 1)

/** All metrics in the format of Prometheus. */
export const format = Effect.fnUntraced(function* (now: {
  readonly queries: number
  readonly conversations: number
  readonly backends: Backends
}): Effect.fn.Return<string> {
  yield* Metric.update(running, now.queries)
  yield* Metric.update(conversing, now.conversations)
  yield* now.backends.observed
  for (const { address, backend, inFlight: queries, state } of now.backends.all.flatMap(
    ({ instances }) => instances
  )) {
    const attributes = { backend, address }
    yield* Metric.update(Metric.withAttributes(up, attributes), state === "up" ? 1 : 0)
    yield* Metric.update(Metric.withAttributes(inFlight, attributes), queries)
  }
  return yield* PrometheusMetrics.format()
})
