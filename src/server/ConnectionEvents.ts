/** Events of connections for an embedder: one service is notified of each step. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
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
 * The service that is notified of events. Default: none.
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
