/**
 * The flags of the commands that talk to a server.
 */
import * as Flag from "effect/cli/Flag"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { defaults } from "../client/Settings.ts"
import * as Address from "../net/Address.ts"
import * as Setting from "../server/Setting.ts"
import * as Formats from "./Formats.ts"
import * as ServerAddress from "./ServerAddress.ts"

/** The message of a thrown value. */
export const message = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Written like the settings of the server. */
export const duration = Flag.filterMap(
  Schema.decodeUnknownOption(Setting.duration(Duration.infinity, "").schema),
  () => 'a duration longer than zero such as "30 seconds", 30s or Infinity'
)

export const server = Flag.String("server").pipe(
  Flag.withAlias("s"),
  Flag.withMetavar("address"),
  Flag.withDescription(
    `The server: ${Address.forms}. Default: ${ServerAddress.variable}, or else ${ServerAddress.fallback}`
  ),
  Flag.mapTryCatch((text) => Result.getOrThrow(Address.parse(text)), message),
  Flag.optional
)

export const requestTimeout = Flag.String("request-timeout").pipe(
  Flag.withMetavar("duration"),
  Flag.withDescription(
    "How long the server may take to accept a query, before any result; connecting takes no longer either. " +
      `Default: ${defaults.requestTimeout}`
  ),
  Flag.withDefault(String(defaults.requestTimeout)),
  duration
)

export const heartbeatTolerance = Flag.String("heartbeat-tolerance").pipe(
  Flag.withMetavar("duration"),
  Flag.withDescription(`Give the server up after this much silence. Default: ${defaults.heartbeatTolerance}`),
  Flag.withDefault(String(defaults.heartbeatTolerance)),
  duration
)

/** The formats, for help. */
export const formats = `${Object.keys(Formats.short).join(", ")}, or a media type`

export const format = Flag.ChoiceWithValue("format", Formats.choices).pipe(
  Flag.withAlias("f"),
  Flag.withDescription(
    `The format of the result: ${formats}. Default: that of the extension of --output; else table on a terminal, ` +
      "json elsewhere"
  ),
  Flag.optional
)

export const crlf = Flag.Boolean("csv-crlf").pipe(
  Flag.withDescription("End the lines of CSV with CRLF, as RFC 4180 has it, instead of LF"),
  Flag.withDefault(false)
)

export const header = Flag.Boolean("header").pipe(
  Flag.withDescription("Begin CSV and TSV with the names of the columns; --no-header leaves them out"),
  Flag.withDefault(true)
)

export const limit = Flag.Int("limit").pipe(
  Flag.withMetavar("rows"),
  Flag.withDescription("Show this many rows of a table at most, and stop the query then. Default: all"),
  Flag.filter(
    (rows) => rows >= 1,
    () => "a number of rows from 1"
  ),
  Flag.optional
)

/** The value, or else the fallback. */
export const orElse = <A>(option: Option.Option<A>, fallback: A): A =>
  Option.getOrElse(option, () => fallback)
