/**
 * A line in the log for each step of each connection.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as LogLevel from "effect/LogLevel"
import { type ConnectionEvent, ConnectionEvents, type ConnectionInfo } from "./ConnectionEvents.ts"
import * as Printable from "./Printable.ts"
import type { ControlReason } from "./Statistics.ts"

/**
 * Settings of the log.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options {
  /** How many bytes of a body a line shows. */
  readonly maxBodyLength: number
}

const endpoints = ({ local, remote }: ConnectionInfo): string => `${remote} => ${local}`

/**
 * A body as it is logged: cut at `maxBodyLength` bytes, before a character that would be cut, on one line.
 *
 * @category formatting
 * @since 0.1.0
 */
export const show = (body: Uint8Array, maxBodyLength: number): string => {
  const isCut = body.length > maxBodyLength
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
  // A stream may go on, so that the decoder keeps the beginning of a character to itself.
  const text = decoder.decode(body.subarray(0, maxBodyLength), { stream: isCut })
  return Printable.line(text) + (isCut ? "…" : "")
}

const closings: Record<ControlReason, string> = {
  read: "failure reading",
  write: "failure writing",
  run: "failure running a query",
  init: "failure initializing a query",
  protocol: "protocol violation",
  drain: "drain"
}

/**
 * The line of an event.
 *
 * @category formatting
 * @since 0.1.0
 */
export const line = (event: ConnectionEvent, options: Options): string => {
  const who = endpoints(event.connection)
  const body = (bytes: Uint8Array) => show(bytes, options.maxBodyLength)
  switch (event._tag) {
    case "Opened":
      return `Accepted connection ${who}`
    case "Request":
      return `${who} request: ${body(event.body)}`
    case "Accepted":
      return `${who} accept: ${body(event.payload)}`
    case "Rejected":
      return `${who} rejected: ${body(event.payload)}`
    case "Completed":
      return `${who} complete (${event.query.payloadBytesTransferred} bytes)`
    case "Cancelled":
      return `${who} cancelled (${event.query.payloadBytesTransferred} bytes)`
    case "Aborted":
      return `${who} aborted (${event.query.payloadBytesTransferred} bytes)`
    case "Failed":
      return `${who} error: ${body(event.payload)}`
    case "Closed":
      return `${who} disconnected due to ${closings[event.control.reason]}: ${Printable.line(event.detail)}`
  }
}

/**
 * The same event as fields, for structured logs.
 *
 * @category formatting
 * @since 0.1.0
 */
export const fields = (event: ConnectionEvent, options: Options): Record<string, unknown> => {
  const { _tag, ...rest } = event
  return Object.fromEntries([
    ["event", _tag],
    ...Object.entries(rest).map(([name, value]) => [
      name,
      value instanceof Uint8Array ? show(value, options.maxBodyLength) : value
    ])
  ])
}

/**
 * Logs every event, at level Info: the line, and the fields beside it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<never> =>
  Layer.succeed(ConnectionEvents, {
    publish: (event) =>
      Effect.flatMap(LogLevel.isEnabled("Info"), (enabled) =>
        enabled ? Effect.logInfo(line(event, options), fields(event, options)) : Effect.void
      )
  })
