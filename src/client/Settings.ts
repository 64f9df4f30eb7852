/**
 * The limits of a client's connection, and of several.
 */
import type * as Duration from "effect/Duration"
import type { Metadata } from "../engine/QueryApi.ts"
import * as Message from "../protocol/Message.ts"

/**
 * Sizes are in bytes. A duration may be infinite, which switches the limit off. Connecting dies with a `RangeError`
 * that names the setting whose value is no limit.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Settings extends Message.Options {
  /**
   * Largest request, header included, of the frame that is sent. Longer ones fail with `RequestTooLarge`. A server
   * rejects those beyond its `maxFrameSize`, and drops the connection beyond its `maxSkippedSize`, which has the same
   * default as this.
   */
  readonly maxRequestSize: number
  /** Largest body of an accept. It is held as a whole, and grows with the number of columns. */
  readonly maxAcceptSize: number
  /** Largest body of a reject or an error, which is held as a whole too. */
  readonly maxErrorSize: number
  /** Largest row of `rows`, which is held as a whole: of NDJSON, so with its names and escapes. */
  readonly maxRowSize: number
  /**
   * How long connecting may take. Requests that wait for a connection, and find none, wait no longer either, unless
   * `waitForReady` of a pool lets them.
   */
  readonly connectTimeout: Duration.Input
  /**
   * How long a request may take until it is accepted: its wait for other requests and for a connection, and the
   * server's. Then it is cancelled. The response itself has no limit but the server's `queryTimeout`.
   */
  readonly requestTimeout: Duration.Input
  /**
   * How long the server may send nothing, not even a heartbeat, while a response is awaited and between requests. The
   * connection is then taken for dead. It must exceed the server's `heartbeatInterval`; three of them leave room for a
   * slow network.
   */
  readonly heartbeatTolerance: Duration.Input
  /** How long the server may take to end a response that was cancelled. */
  readonly cancelTimeout: Duration.Input
  /** How long the server may take no byte of a write. */
  readonly writeTimeout: Duration.Input
  /** How many requests wait while others are in flight. Those beyond fail. */
  readonly maxQueuedRequests: number
  /**
   * Who asks: metadata of every `query`, to which a query may add its own. Entries of the query come first. The
   * server's engine sees it and logs show no values.
   */
  readonly metadata?: Metadata | undefined
}

/**
 * The limits of a client with several connections, besides those of each.
 *
 * @category settings
 * @since 0.1.0
 */
export interface PoolSettings extends Settings {
  /** How many connections there are at most, and so how many requests are in flight. */
  readonly maxConnections: number
  /**
   * How long a response counts for `maxConnections` while it waits for its reader; then others may be in flight in its
   * place until it has ended. Default: for ever.
   */
  readonly stallTimeout: Duration.Input
  /**
   * How many responses do not count at a time for that reason. Where more readers do not read and requests wait, the
   * response that has not been read for longest is evicted, if its request has `onEvicted`. Default: none.
   */
  readonly maxStalled: number
  /**
   * How long a request may wait for others and for a connection. It fails with `QueueTimeout` then. Default: for as long
   * as `requestTimeout` allows.
   */
  readonly queueTimeout: Duration.Input
  /**
   * For how long after it was asked for a request may still wait when no connection can be made, or the server ends each
   * new one at once, as while it is restarted: the pool tries again, after `reconnectDelay` and ever later. After that the
   * request fails as the last try did. `requestTimeout` and `queueTimeout` hold too. gRPC calls this "wait for ready".
   *
   * Default: 0, so that a request fails with the first try to connect. A front-end that has another server to ask, or
   * somebody who waits for an answer, would hear too late that there is none.
   */
  readonly waitForReady: Duration.Input
  /** How long a connection stays open that nobody uses; shorter than the server's `idleTimeout`. */
  readonly idleTimeout: Duration.Input
  /**
   * How long the pool waits before it connects again when that has failed. It doubles with each failure, up to
   * `maxReconnectDelay`; up to a half of it is left out at random, so that many clients do not come at once.
   */
  readonly reconnectDelay: Duration.Input
  readonly maxReconnectDelay: Duration.Input
}

/**
 * The defaults of a client.
 *
 * @category settings
 * @since 0.1.0
 */
export const defaults: Settings = {
  lengthCounts: Message.defaultOptions.lengthCounts,
  // The server decides how large its chunks are; memory is used only for what really arrives.
  maxFrameSize: 16 * 1024 * 1024,
  maxRequestSize: 64 * 1024 * 1024,
  maxAcceptSize: 1024 * 1024,
  maxErrorSize: 1024 * 1024,
  maxRowSize: 64 * 1024 * 1024,
  connectTimeout: "10 seconds",
  requestTimeout: "10 minutes",
  heartbeatTolerance: "15 seconds",
  cancelTimeout: "5 seconds",
  writeTimeout: "30 seconds",
  maxQueuedRequests: 1024
}

/**
 * The defaults of a client with several connections.
 *
 * @category settings
 * @since 0.1.0
 */
export const poolDefaults: PoolSettings = {
  ...defaults,
  maxConnections: 8,
  stallTimeout: "Infinity",
  maxStalled: 0,
  queueTimeout: "Infinity",
  waitForReady: 0,
  idleTimeout: "1 minute",
  reconnectDelay: "100 millis",
  maxReconnectDelay: "5 seconds"
}
