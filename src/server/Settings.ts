/**
 * The limits of one connection.
 */
import * as Duration from "effect/Duration"
import { LengthCounts } from "../framing/LengthDelimited.ts"
import * as Message from "../protocol/Message.ts"
import * as Limit from "../settings/Limit.ts"

/**
 * Sizes are in bytes. A duration may be infinite, which switches the limit off.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Settings extends Message.Options {
  /** Longest request, header included, that is rejected as `too_large`. A longer one ends the connection. */
  readonly maxSkippedSize: number
  /** The time without a write after which the server writes a heartbeat. */
  readonly heartbeatInterval: Duration.Input
  /** Largest body of a chunk message. */
  readonly chunkSize: number
  /** The number of bytes of a result that are taken from the engine ahead of the socket. */
  readonly prefetchSize: number
  /** The number of bytes of a result in one write, at most; the first writes of a connection take less. */
  readonly batchSize: number
  /** How long a query may take, from its request to the end of its response. */
  readonly queryTimeout: Duration.Input
  /** How long the peer may take no byte of a pending write. */
  readonly writeTimeout: Duration.Input
  /** How long a frame may take to arrive, from its first byte to its last. */
  readonly requestTimeout: Duration.Input
  /** How long a query may wait for its turn before it is rejected. */
  readonly queueTimeout: Duration.Input
  /** How long a query keeps its place while it waits for its reader. */
  readonly stallTimeout: Duration.Input
  /** How long the first request may take to arrive, from the opening of the connection, if not `idleTimeout`. */
  readonly firstRequestTimeout?: Duration.Input | undefined
  /** How long the connection may stay open without a request. */
  readonly idleTimeout: Duration.Input
}

/**
 * Without a limit for the first request: a server sets one.
 *
 * @category settings
 * @since 0.1.0
 */
export const defaults: Omit<Settings, "firstRequestTimeout"> = {
  ...Message.defaultOptions,
  maxSkippedSize: 64 * 1024 * 1024,
  heartbeatInterval: "5 seconds",
  chunkSize: 64 * 1024,
  // A little below TCP's initial window on loopback: further bytes wait in the kernel.
  prefetchSize: 896 * 1024,
  batchSize: 896 * 1024,
  queryTimeout: "10 minutes",
  queueTimeout: "2 minutes",
  stallTimeout: "1 second",
  // A reader of 7 kB/s or more survives: Linux opens a closed window by a sixteenth of the largest receive
  // buffer (net.ipv4.tcp_rmem, commonly up to 32 MiB), so by 2 MiB at a time.
  writeTimeout: "5 minutes",
  requestTimeout: "30 seconds",
  idleTimeout: "1 hour"
}

/**
 * The settings of a connection, with durations in milliseconds.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Limits
  extends Pick<
    Settings,
    "lengthCounts" | "maxFrameSize" | "maxSkippedSize" | "chunkSize" | "prefetchSize" | "batchSize"
  > {
  readonly codec: ReturnType<typeof Message.codec>
  readonly heartbeatMillis: number
  readonly queryTimeoutMillis: number
  readonly writeTimeoutMillis: number
  readonly frameTimeoutMillis: number
  readonly queueTimeoutMillis: number
  readonly stallMillis: number
  readonly firstRequestTimeoutMillis: number
  readonly idleTimeoutMillis: number
}

const known = new WeakMap<Settings, Limits>()

/**
 * The limits of all connections with these settings: one object, shared by thousands of them. Throws a
 * `RangeError` that names a setting with an invalid value.
 *
 * @category settings
 * @since 0.1.0
 */
export const limits = (settings: Settings): Limits => {
  let limits = known.get(settings)
  if (limits === undefined) {
    const wire = {
      lengthCounts: Limit.oneOf("lengthCounts", settings.lengthCounts, LengthCounts.literals),
      maxFrameSize: Limit.size("maxFrameSize", settings.maxFrameSize, Message.headerSize),
      maxSkippedSize: Limit.size("maxSkippedSize", settings.maxSkippedSize, Message.headerSize)
    }
    limits = {
      ...wire,
      codec: Message.codec(wire),
      chunkSize: Limit.size("chunkSize", settings.chunkSize, 1),
      prefetchSize: Limit.size("prefetchSize", settings.prefetchSize, 1),
      batchSize: Limit.size("batchSize", settings.batchSize, 1),
      heartbeatMillis: Limit.millis("heartbeatInterval", settings.heartbeatInterval),
      queryTimeoutMillis: Limit.millis("queryTimeout", settings.queryTimeout),
      writeTimeoutMillis: Limit.millis("writeTimeout", settings.writeTimeout),
      frameTimeoutMillis: Limit.millis("requestTimeout", settings.requestTimeout),
      queueTimeoutMillis: Limit.millis("queueTimeout", settings.queueTimeout),
      stallMillis: Limit.millis("stallTimeout", settings.stallTimeout),
      firstRequestTimeoutMillis: Limit.millis(
        "firstRequestTimeout",
        settings.firstRequestTimeout ?? "Infinity"
      ),
      idleTimeoutMillis: Limit.millis("idleTimeout", settings.idleTimeout)
    }
    known.set(settings, limits)
  }
  return limits
}

/**
 * A duration in milliseconds.
 *
 * @category settings
 * @since 0.1.0
 */
export const millis = (duration: Duration.Input): number =>
  Duration.toMillis(Duration.fromInputUnsafe(duration))
