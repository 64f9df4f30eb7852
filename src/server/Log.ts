/** The loggers of the standalone server: readable lines, or one JSON object a line. */
import type { Writable } from "node:stream"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Formatter from "effect/Formatter"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Limit from "../settings/Limit.ts"
import * as LogSink from "./LogSink.ts"
import * as Printable from "./Printable.ts"

/**
 * The formats of the log.
 *
 * @category settings
 * @since 0.1.0
 */
export const formats = ["text", "json"] as const
/**
 * A format of the log.
 *
 * @category settings
 * @since 0.1.0
 */
export type Format = (typeof formats)[number]

const billion = 1_000_000_000n

/**
 * Nanoseconds since 1970 as UTC: `2021-10-06T04:01:26.490694105Z`.
 *
 * @category formatting
 * @since 0.1.0
 */
export const timestamp = (nanos: bigint): string => {
  const seconds = new Date(Number(nanos / billion) * 1000).toISOString().slice(0, 19)
  return `${seconds}.${String(nanos % billion).padStart(9, "0")}Z`
}

const now = (fiber: Fiber.Fiber<unknown, unknown>): string =>
  timestamp(fiber.getRef(Clock.Clock).currentTimeNanosUnsafe())

/** The arguments of a log call: the text, and the fields beside it. */
const split = (message: unknown): readonly [text: string, fields: Record<string, unknown>] => {
  const [first, ...rest] = Array.isArray(message) ? message : [message]
  const fields = Object.assign({}, ...rest.filter((item) => typeof item === "object"))
  return [typeof first === "string" ? first : String(first), fields]
}

const text = Logger.make(({ cause, fiber, logLevel, message }) => {
  const level = logLevel === "Info" ? "" : `${logLevel}: `
  const trace = cause.reasons.length > 0 ? `\n${Cause.pretty(cause)}` : ""
  return Printable.lines(`${now(fiber)} ${level}${split(message)[0]}${trace}`)
})

const json = Logger.make(({ cause, fiber, logLevel, message }) => {
  const [said, fields] = split(message)
  const own = { timestamp: now(fiber), level: logLevel, message: said }
  const trace = cause.reasons.length > 0 ? { cause: Cause.pretty(cause) } : {}
  return Printable.line(Formatter.formatJson({ ...own, ...fields, ...trace, ...own }))
})

const loggers: Readonly<Record<Format, Logger.Logger<unknown, string>>> = { text, json }

/**
 * Writes the log to a stream in this format. If its reader is slow, at most `maxBuffered` bytes are buffered:
 * further lines are dropped, and their number is logged once there is room again.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStream = (format: Format, stream: Writable, maxBuffered: number): Layer.Layer<never> =>
  Layer.unwrap(
    Effect.map(Clock.Clock, (clock) => {
      Limit.oneOf("format", format, formats)
      Limit.size("maxBuffered", maxBuffered, 0)
      if (typeof stream?.write !== "function") Limit.fail("stream", "a Writable", stream)
      const dropped = (count: number): string => {
        const own = {
          timestamp: timestamp(clock.currentTimeNanosUnsafe()),
          level: "Warn",
          message: lost(count)
        }
        return format === "json"
          ? Formatter.formatJson({ ...own, dropped: count })
          : `${own.timestamp} ${own.level}: ${own.message}`
      }
      const sink = LogSink.toStream(stream, { maxBuffered, dropped })
      return Logger.layer([Logger.map(loggers[format], sink)])
    })
  )

const lost = (count: number): string =>
  `The log was not read in time: ${count} lines were dropped (logBufferSize)`

/**
 * Writes the log to standard output in this format.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (format: Format): Layer.Layer<never> =>
  Logger.layer([Logger.withConsoleLog(loggers[Limit.oneOf("format", format, formats)])])
