/**
 * Counters and reason codes of a connection's operations, after the talk "Deploying the Networking TS".
 *
 * Sizes are in bytes of the wire, headers included, unless the name says payload.
 */

import type { ControlReason } from "../protocol/ServerState.ts"

export type { ControlReason }

/**
 * Counters of a connection.
 *
 * @category models
 * @since 0.1.0
 */
export interface ControlStatistics {
  readonly bytesRead: number
  readonly bytesWritten: number
  readonly messagesRead: number
  readonly messagesWritten: number
  readonly accepted: number
  readonly rejected: number
  readonly cancelled: number
  readonly reason: ControlReason
}

/**
 * The state of the heartbeat operation when it ended.
 *
 * @category models
 * @since 0.1.0
 */
export type HeartbeatReason = "wait" | "write"

/**
 * Counters of the heartbeats of a connection.
 *
 * @category models
 * @since 0.1.0
 */
export interface HeartbeatStatistics {
  readonly bytesTransferred: number
  readonly messages: number
  readonly waits: number
  readonly reason: HeartbeatReason
}

/**
 * The end of a query: rejected, with an error of the engine or the server, cancelled by the client,
 * completed, failed to be written, or aborted with its connection.
 *
 * @category models
 * @since 0.1.0
 */
export type QueryRunnerReason = "reject" | "error" | "cancel" | "complete" | "fail" | "abort"

/**
 * Counters of one query.
 *
 * @category models
 * @since 0.1.0
 */
export interface QueryRunnerStatistics {
  readonly bytesTransferred: number
  /** Bytes of the result: the bodies of its chunks. */
  readonly payloadBytesTransferred: number
  readonly messages: number
  /** How often the engine was asked for more. */
  readonly runs: number
  /** From the arrival of the request to the end of its response. */
  readonly durationMillis: number
  /** The id of the query, if the engine accepted it and provided one. */
  readonly queryId: string | undefined
  /** The number of rows produced; `undefined` where the engine does not count them. */
  readonly rows: number | undefined
  readonly reason: QueryRunnerReason
}
