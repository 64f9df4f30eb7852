/** The limits of a client's connection, and of a pool. */
import type * as Duration from "effect/Duration"
import * as Metadata from "../engine/Metadata.ts"
import * as Message from "../protocol/Message.ts"
import * as Limit from "../settings/Limit.ts"

/**
 * Sizes are in bytes. A duration may be infinite, which switches the limit off. Connecting dies with a
 * `RangeError` that names a setting with an invalid value.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Settings extends Message.Options {
  /**
   * Largest request, as a frame with its header. Longer ones fail with `RequestTooLarge`. A server rejects
   * those beyond its `maxFrameSize`, and drops the connection beyond its `maxSkippedSize`, which has the same
   * default as this.
   */
  readonly maxRequestSize: number
  /** Largest body of an accept, which is buffered as a whole. It grows with the number of columns. */
  readonly maxAcceptSize: number
  /** Largest body of a reject or an error, which is buffered as a whole too. */
  readonly maxErrorSize: number
  /** Largest row of `rows`, which is buffered as a whole: as NDJSON, including its names and escapes. */
  readonly maxRowSize: number
  /**
   * How long connecting may take. Requests without any connection wait no longer either, unless a pool's
   * `waitForReady` allows it.
   */
  readonly connectTimeout: Duration.Input
  /**
   * How long a request may take until it is accepted, including waits for other requests, for a connection
   * and in the server. Then it is cancelled. The response itself has no limit but the server's
   * `queryTimeout`.
   */
  readonly requestTimeout: Duration.Input
  /**
   * How long the server may send nothing, not even a heartbeat, while a response is awaited and between
   * requests. The connection is then considered dead. It must exceed the server's `heartbeatInterval`; three
   * intervals leave room for a slow network.
   */
  readonly heartbeatTolerance: Duration.Input
  /** How long the server may take to end a response that was cancelled. */
  readonly cancelTimeout: Duration.Input
  /** How long the server may take no byte of a pending write. */
  readonly writeTimeout: Duration.Input
  /** The number of requests that may wait while others are in flight. Further ones fail. */
  readonly maxQueuedRequests: number
  /**
   * The caller's metadata for every `query`, to which a query may add its own. Entries of the query take
   * precedence. The server's engine receives it, and logs show no values.
   */
  readonly metadata?: Metadata.Metadata | undefined
}

/**
 * The limits of a client with several connections, besides those of each.
 *
 * @category settings
 * @since 0.1.0
 */
export interface PoolSettings extends Settings {
  /** The maximum number of connections, and so of requests in flight. */
  readonly maxConnections: number
  /**
   * How long a response counts for `maxConnections` while it waits for its reader; then others may be in
   * flight in its place until it has ended. Default: for ever.
   */
  readonly stallTimeout: Duration.Input
  /**
   * The number of responses that may be excluded from the count for that reason. If more readers do not read
   * and requests wait, the response that has not been read for longest is evicted, if its request has
   * `onEvicted`. Default: none.
   */
  readonly maxStalled: number
  /**
   * How long a request may wait for others and for a connection. Then it fails with `QueueTimeout`. Default:
   * as long as `requestTimeout` allows.
   */
  readonly queueTimeout: Duration.Input
  /**
   * How long, from its start, a request may wait while no connection can be made, or the server ends each new
   * one at once, as during a restart. The pool retries after `reconnectDelay`, with growing delays. After
   * that the request fails with the error of the last attempt. `requestTimeout` and `queueTimeout` apply too.
   * gRPC calls this "wait for ready".
   *
   * Default: 0, so that a request fails with the first connection attempt. Otherwise a front-end that could
   * fail over to another server, or a waiting user, would learn too late that the server is down.
   */
  readonly waitForReady: Duration.Input
  /** How long an idle connection stays open; shorter than the server's `idleTimeout`. */
  readonly idleTimeout: Duration.Input
  /**
   * How long the pool waits to reconnect after a failure. The delay doubles with each failure, up to
   * `maxReconnectDelay`; up to half of it is subtracted at random, so that many clients do not connect at
   * once.
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
  // The server chooses the size of its chunks; memory is used only for bytes that arrive.
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
 * The defaults of a pool.
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

const names: ReadonlyArray<string> = [...Object.keys(poolDefaults), "metadata"]

/**
 * The defaults with the given settings replaced. A client ignores the settings of a pool, so that both can have
 * the same. Throws a `RangeError` that names an unknown setting; limits are checked where they are used.
 */
export const over = <S extends Settings>(defaults: S, given: Partial<S>): S => {
  const { metadata } = Limit.members("a client", given, names)
  if (metadata !== undefined) Metadata.check("metadata", metadata)
  return { ...defaults, ...Limit.present(given) }
}
