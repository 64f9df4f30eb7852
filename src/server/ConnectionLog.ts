/** A log line for each step of each connection. */
import { Buffer } from "node:buffer"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as LogLevel from "effect/LogLevel"
import * as Limit from "../settings/Limit.ts"
import type { ConnectionEvent, ConnectionInfo } from "./ConnectionEvents.ts"
import * as ConnectionEvents from "./ConnectionEvents.ts"
import * as LoggedRequest from "./LoggedRequest.ts"
import * as Printable from "./Printable.ts"
import type { ControlReason, QueryRunnerStatistics } from "./Statistics.ts"

/**
 * Settings of the log.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options {
  /** The number of bytes of a body that a line shows. */
  readonly maxBodyLength: number
  /**
   * Whether to show the values of parameters, and requests that are not of the v1 query API. Otherwise names
   * and sizes are shown. The values of metadata are never shown. Default: `false`.
   */
  readonly logValues?: boolean | undefined
}

const checks: Limit.Checks<Options> = {
  maxBodyLength: (name, given: number) => Limit.size(name, given, 0),
  logValues: Limit.flag
}

const endpoints = ({ local, remote }: ConnectionInfo): string => `${remote} => ${local}`

/**
 * A body as it is logged: on one line, cut at `maxBodyLength` bytes or before a character that would be
 * split.
 *
 * @category formatting
 * @since 0.1.0
 */
export const show = (body: Uint8Array, maxBodyLength: number): string => {
  const isCut = body.length > maxBodyLength
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
  // With `stream`, the decoder withholds an incomplete character.
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

/** The request that an event is about. */
type Request = LoggedRequest.LoggedRequest

const requestOf = (event: ConnectionEvent, options: Options): Request | undefined =>
  event._tag === "Request" ? LoggedRequest.describe(event.body, options) : undefined

/** The logged form of an event's body. */
const bodyOf = (
  event: ConnectionEvent,
  { maxBodyLength }: Options,
  request: Request | undefined
): string | undefined => {
  switch (event._tag) {
    case "Request":
      return request === undefined ? undefined : show(Buffer.from(request.text), maxBodyLength)
    case "Accepted":
      return show(event.payload, maxBodyLength)
    case "Rejected":
    case "Failed":
      return show(
        request === undefined ? event.payload : LoggedRequest.conceal(request, event.payload),
        maxBodyLength
      )
    default:
      return undefined
  }
}

const milliseconds = (duration: number): string =>
  `${duration < 100 ? duration.toFixed(1) : Math.round(duration)} ms`

/** The result of a query, in parentheses. */
const summary = (query: QueryRunnerStatistics, request: Request | undefined): string => {
  const id = query.queryId ?? request?.queryId
  return `(${[
    ...(id === undefined ? [] : [`queryId ${Printable.line(Printable.clip(id, maxIdLength))}`]),
    ...(query.rows === undefined ? [] : [`${query.rows} rows`]),
    `${query.payloadBytesTransferred} bytes`,
    milliseconds(query.durationMillis)
  ].join(", ")})`
}

/** The number of characters of a client's query id that a line shows. */
const maxIdLength = 64

/**
 * The line of an event. `request` is its request as far as {@link Options} allow showing it.
 *
 * @category formatting
 * @since 0.1.0
 */
export const line = (event: ConnectionEvent, options: Options, request?: Request): string => {
  const who = endpoints(event.connection)
  const about = request ?? requestOf(event, options)
  const body = bodyOf(event, options, about)
  switch (event._tag) {
    case "Opened":
      return `Accepted connection ${who}`
    case "Request":
      return `${who} request: ${body}`
    case "Accepted":
      return `${who} accept: ${body}`
    case "Rejected":
      return `${who} rejected ${summary(event.query, about)}: ${body}`
    case "Completed":
      return `${who} complete ${summary(event.query, about)}`
    case "Cancelled":
      return `${who} cancelled ${summary(event.query, about)}`
    case "Aborted":
      return `${who} aborted ${summary(event.query, about)}`
    case "Failed":
      return `${who} error ${summary(event.query, about)}: ${body}`
    case "Closed":
      return `${who} disconnected due to ${closings[event.control.reason]}: ${Printable.line(event.detail)}`
  }
}

/**
 * The fields of an event, for structured logs.
 *
 * @category formatting
 * @since 0.1.0
 */
export const fields = (
  event: ConnectionEvent,
  options: Options,
  request?: Request
): Record<string, unknown> => {
  const { _tag, ...rest } = event
  const about = request ?? requestOf(event, options)
  const id = ("query" in event ? event.query.queryId : undefined) ?? about?.queryId
  return Object.fromEntries([
    ["event", _tag],
    ...(id === undefined ? [] : [["queryId", id]]),
    ...Object.entries(rest).map(([name, value]) => [
      name,
      value instanceof Uint8Array ? bodyOf(event, options, about) : value
    ])
  ])
}

/**
 * Logs every event at level Info: the line, with the fields beside it. Progress requests come once a second
 * while a user waits, so they and their responses have level Debug. Events are passed on, as
 * `ConnectionEvents.layer` does. Throws a `RangeError` that names an invalid setting.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<never> => {
  Limit.settings("the log of connections", options, checks, ["maxBodyLength"])
  /** The last request of each connection. */
  const requests = new WeakMap<ConnectionInfo, Request>()
  const log = (event: ConnectionEvent): Effect.Effect<void> => {
    const { connection } = event
    const request = requestOf(event, options) ?? requests.get(connection)
    if (event._tag === "Request" && request !== undefined) requests.set(connection, request)
    else if (event._tag !== "Accepted") requests.delete(connection)
    const level = request?.isQuestion === true && event._tag !== "Closed" ? "Debug" : "Info"
    return Effect.logWithLevel(level)(line(event, options, request), fields(event, options, request))
  }
  return ConnectionEvents.layer((event) =>
    Effect.flatMap(LogLevel.isEnabled("Info"), (enabled) => (enabled ? log(event) : Effect.void))
  )
}
