/** The counters of a server, as Effect's metrics. */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import type { ConnectionEvent } from "./ConnectionEvents.ts"
import * as ConnectionEvents from "./ConnectionEvents.ts"

const connections = Metric.gauge("dataconn_server_connections", { description: "Open connections" })

const closed = Metric.counter("dataconn_server_connections_closed_total", {
  description: "Connections that have ended, by reason",
  incremental: true
})

const underWay = Metric.gauge("dataconn_server_queries", { description: "Queries that wait or run" })

const queries = Metric.counter("dataconn_server_queries_total", {
  description: "Queries that have ended, by how they ended",
  incremental: true
})

const bytes = Metric.counter("dataconn_server_result_bytes_total", {
  description: "Bytes of results",
  incremental: true
})

const seconds = Metric.histogram("dataconn_server_query_seconds", {
  description: "Time from the request of a query to the end of its response",
  boundaries: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]
})

/** One metric for each value of a label, cached because making one takes longer than counting. */
const series = <A extends Metric.Metric<number, unknown>>(metric: A, label: string) => {
  const known = new Map<string, Metric.Metric<number, unknown>>()
  return (value: string): Metric.Metric<number, unknown> => {
    const found = known.get(value) ?? Metric.withAttributes(metric, { [label]: value })
    known.set(value, found)
    return found
  }
}

const closedFor = series(closed, "reason")
const endedBy = series(queries, "end")

const count = (event: ConnectionEvent, context: Context.Context<never>): void => {
  switch (event._tag) {
    case "Opened":
      connections.modifyUnsafe(1, context)
      return
    case "Closed":
      connections.modifyUnsafe(-1, context)
      closedFor(event.control.reason).updateUnsafe(1, context)
      return
    case "Request":
      underWay.modifyUnsafe(1, context)
      return
    case "Accepted":
      return
    default:
      underWay.modifyUnsafe(-1, context)
      endedBy(event.query.reason).updateUnsafe(1, context)
      bytes.updateUnsafe(event.query.payloadBytesTransferred, context)
      seconds.updateUnsafe(event.query.durationMillis / 1000, context)
  }
}

/**
 * Counts the events of all connections in Effect's metrics, and passes them on, as `ConnectionEvents.layer`
 * does.
 *
 * **Details**
 *
 * - `dataconn_server_connections`: open connections; `dataconn_server_connections_closed_total` by `reason` (`read`,
 *   `write`, `run`, `init`, `protocol`, `drain`).
 * - `dataconn_server_queries`: queries that wait or run; `dataconn_server_queries_total` by `end` (`complete`, `cancel`,
 *   `reject`, `error`, `fail`, `abort`).
 * - `dataconn_server_result_bytes_total`, and `dataconn_server_query_seconds` as a histogram.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<never> = ConnectionEvents.layer((event) =>
  Effect.contextWith((context: Context.Context<never>) => {
    count(event, context)
    return Effect.void
  })
)
