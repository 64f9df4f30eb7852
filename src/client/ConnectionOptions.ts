/** The settings of one connection, with durations in milliseconds. */
import { LengthCounts } from "../framing/LengthDelimited.ts"
import * as Message from "../protocol/Message.ts"
import * as Limit from "../settings/Limit.ts"
import * as BodyLimits from "./BodyLimits.ts"
import type * as ClientFailure from "./ClientFailure.ts"
import type { Settings } from "./Settings.ts"

export interface Options extends Message.Options, ClientFailure.Names {
  readonly writeTimeoutMillis: number
  /** How long opening the transport may take. */
  readonly connectTimeoutMillis: number
  readonly bodyLimits?: Message.BodyLimits | undefined
  /** For the rows of its responses. */
  readonly maxRowSize?: number | undefined
}

/**
 * The settings of one connection. `server` is the name of the server in errors. Throws a `RangeError` that
 * names a setting with an invalid value.
 */
export const options = (settings: Settings, server: string): Options => ({
  lengthCounts: Limit.oneOf("lengthCounts", settings.lengthCounts, LengthCounts.literals),
  maxFrameSize: Limit.size("maxFrameSize", settings.maxFrameSize, Message.headerSize),
  bodyLimits: BodyLimits.make(settings),
  maxRowSize: Limit.size("maxRowSize", settings.maxRowSize, 1),
  writeTimeoutMillis: Limit.millis("writeTimeout", settings.writeTimeout),
  heartbeatToleranceMillis: Limit.millis("heartbeatTolerance", settings.heartbeatTolerance),
  cancelTimeoutMillis: Limit.millis("cancelTimeout", settings.cancelTimeout),
  connectTimeoutMillis: Limit.millis("connectTimeout", settings.connectTimeout),
  requestTimeoutMillis: Limit.millis("requestTimeout", settings.requestTimeout),
  server
})
