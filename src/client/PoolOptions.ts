/** The settings of a pool, with durations in milliseconds. */
import * as Limit from "../settings/Limit.ts"
import type * as Backoff from "./Backoff.ts"
import * as ConnectionOptions from "./ConnectionOptions.ts"
import type { PoolSettings } from "./Settings.ts"
import type * as Stalls from "./Stalls.ts"

export interface Options extends Omit<Backoff.Options, "random">, Stalls.Options {
  /** The settings of each connection. */
  readonly options: ConnectionOptions.Options
  readonly maxConnections: number
  readonly queueTimeoutMillis: number
  readonly maxQueuedRequests: number
  readonly maxRequestSize: number
  readonly idleTimeoutMillis: number
  readonly waitForReadyMillis: number
}

/**
 * Throws a `RangeError` that names a setting with an invalid value. `server` is the name of the server in
 * errors.
 */
export const options = (settings: PoolSettings, server: string): Options => ({
  options: ConnectionOptions.options(settings, server),
  maxConnections: Limit.count("maxConnections", settings.maxConnections, 1),
  stallMillis: Limit.millis("stallTimeout", settings.stallTimeout),
  maxStalled: Limit.count("maxStalled", settings.maxStalled, 0),
  queueTimeoutMillis: Limit.millis("queueTimeout", settings.queueTimeout),
  maxQueuedRequests: settings.maxQueuedRequests,
  maxRequestSize: settings.maxRequestSize,
  waitForReadyMillis: Limit.millis("waitForReady", settings.waitForReady, true),
  idleTimeoutMillis: Limit.millis("idleTimeout", settings.idleTimeout),
  reconnectDelayMillis: Limit.millis("reconnectDelay", settings.reconnectDelay),
  maxReconnectDelayMillis: Limit.millis("maxReconnectDelay", settings.maxReconnectDelay)
})
