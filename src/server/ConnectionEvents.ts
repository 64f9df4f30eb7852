/** Events of connections for an embedder: one service is notified of each step. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Given from "../engine/Given.ts"
import type { ControlStatistics, HeartbeatStatistics, QueryRunnerStatistics } from "./Statistics.ts"

export type { ControlReason } from "../protocol/ServerState.ts"
export type {
  ControlStatistics,
  HeartbeatReason,
  HeartbeatStatistics,
  QueryRunnerReason,
  QueryRunnerStatistics
} from "./Statistics.ts"

/**
 * The two ends of a connection, as text.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConnectionInfo {
  /** The number of the connection within its server, from 1. */
  readonly id: number
  readonly local: string
  readonly remote: string
}

/**
 * A step in a connection's life.
 *
 * - `Opened`: the socket was accepted.
 * - `Request`: a request arrived, and the response before it has ended; `body` is its body.
 * - `Accepted`: the engine accepted; `payload` is the body of the accept.
 * - `Rejected`: the request was declined; `payload` is the body of the reject.
 * - `Completed`, `Cancelled`: the response ended with its final chunk, or with the acknowledged cancel.
 * - `Failed`: the response ended with an error; `payload` is its body.
 * - `Aborted`: the connection ended before the response did.
 * - `Closed`: the connection ended; `control.reason` is the reason and `detail` its text.
 *
 * @category models
 * @since 0.1.0
 */
export type ConnectionEvent =
  | { readonly _tag: "Opened"; readonly connection: ConnectionInfo }
  | { readonly _tag: "Request"; readonly connection: ConnectionInfo; readonly body: Uint8Array }
  | { readonly _tag: "Accepted"; readonly connection: ConnectionInfo; readonly payload: Uint8Array }
  | {
      readonly _tag: "Completed" | "Cancelled" | "Aborted"
      readonly connection: ConnectionInfo
      readonly query: QueryRunnerStatistics
    }
  | {
      readonly _tag: "Rejected" | "Failed"
      readonly connection: ConnectionInfo
      readonly payload: Uint8Array
      readonly query: QueryRunnerStatistics
    }
  | {
      readonly _tag: "Closed"
      readonly connection: ConnectionInfo
      readonly control: ControlStatistics
      readonly heartbeat: HeartbeatStatistics
      readonly detail: string
    }

/**
 * An embedder's handler of events.
 *
 * @category services
 * @since 0.1.0
 */
export interface Listener {
  readonly publish: (event: ConnectionEvent) => Effect.Effect<void>
}

/**
 * An event without its connection.
 *
 * @category models
 * @since 0.1.0
 */
export type Step = ConnectionEvent extends infer E
  ? E extends unknown
    ? Omit<E, "connection">
    : never
  : never

/**
 * The service that is notified of events. Default: none. {@link layer} adds a listener.
 *
 * **Gotchas**
 *
 * `publish` runs in the connection's own fibers and holds that connection up: hand slow work to a bounded
 * queue.
 *
 * @category services
 * @since 0.1.0
 */
export const ConnectionEvents: Context.Reference<Listener | undefined> = Context.Reference(
  "dataconn/server/ConnectionEvents",
  { defaultValue: (): Listener | undefined => undefined }
)

const notify = ({ publish }: Listener, event: ConnectionEvent): Effect.Effect<void> =>
  Effect.suspend(() => Given.effect("publish", publish(event)))

/**
 * Notifies a listener, and after it those that are provided to this layer. `ConnectionLog.layer` and
 * `ConnectionMetrics.layer` do the same. A listener that fails does not keep an event from the others.
 *
 * **Gotchas**
 *
 * Provide several listeners one after the other: `Layer.mergeAll` keeps only the last of them.
 *
 * **Example** (A log, metrics and a listener)
 *
 * ```ts
 * import { ConnectionEvents, ConnectionLog, ConnectionMetrics, Server } from "dataconn"
 * import { Effect, Layer } from "effect"
 *
 * const listener = ConnectionEvents.layer((event) =>
 *   event._tag === "Closed" ? Effect.logDebug(event.connection.remote) : Effect.void
 * )
 *
 * export const watchedServer = Server.layer().pipe(
 *   Layer.provide(listener),
 *   Layer.provide(ConnectionMetrics.layer),
 *   Layer.provide(ConnectionLog.layer({ maxBodyLength: 200 }))
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (publish: Listener["publish"]): Layer.Layer<never> =>
  // Fresh: the listeners after it differ from server to server.
  Layer.fresh(
    Layer.effect(
      ConnectionEvents,
      Effect.map(ConnectionEvents, (next) => {
        const own: Listener = { publish }
        if (next === undefined) return own
        return {
          publish: (event) =>
            Effect.flatMap(Effect.exit(notify(own, event)), (exit) =>
              Effect.andThen(notify(next, event), exit)
            )
        }
      })
    )
  )
