/**
 * Which lines the log of a server or gateway has.
 */
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Effect from "effect/Effect"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Address from "../net/Address.ts"
import * as Setting from "../server/Setting.ts"

const levels = ["All", "Trace", "Debug", "Info", "Warn", "Error", "Fatal", "None"] as const

type Written = Lowercase<(typeof levels)[number]>

const written = (level: LogLevel.LogLevel): Written => level.toLowerCase() as Written

export const level: Setting.Setting<Written> = Setting.choice(
  levels.map(written),
  "info",
  "Least important lines of the log. `warn` leaves out those of connections and queries, and keeps those of the start and the stop."
)

/** The setting as it is given by `--log-level`, which all commands have. */
export const given = Effect.map(GlobalFlag.LogLevel, (given) =>
  Option.isNone(given) ? {} : { logLevel: written(given.value) }
)

/** Leaves out the lines below a level. */
export const from = (given: Written): (<A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>) =>
  Effect.provideService(
    References.MinimumLogLevel,
    levels.find((level) => written(level) === given) ?? "Info"
  )

/** Logs a line of the start or the stop. */
export const step = (text: string, fields: object = {}): Effect.Effect<void> =>
  Effect.flatMap(LogLevel.isEnabled("Warn"), (enabled) =>
    enabled ? from("info")(Effect.logInfo(text, fields)) : Effect.void
  )

/** Logs the addresses of a server, if the level has left that out. */
export const opened = (kind: string, addresses: ReadonlyArray<Address.Address>): Effect.Effect<void> =>
  Effect.flatMap(LogLevel.isEnabled("Info"), (enabled) =>
    enabled
      ? Effect.void
      : Effect.forEach(
          addresses,
          (address) => step(`Opening ${kind} socket on ${Address.format(address)}...`),
          {
            discard: true
          }
        )
  )
