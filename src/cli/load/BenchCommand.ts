/**
 * `dataconn bench`: puts a load on a server and reports the results.
 */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Setting from "../../server/Setting.ts"
import * as ProcessExit from "../../threads/ProcessExit.ts"
import * as ClientFlags from "../ClientFlags.ts"
import { ofSignal } from "../ExitCodes.ts"
import * as Signals from "../Signals.ts"
import * as Plan from "./Plan.ts"

const setting = <A>(name: string, metavar: string, expected: string, { doc, schema }: Setting.Setting<A>) =>
  Flag.String(name).pipe(
    Flag.withMetavar(metavar),
    Flag.withDescription(doc),
    Flag.filterMap(Schema.decodeUnknownOption(schema), () => expected),
    Flag.optional
  )

const wholeNumber = "a whole number of at least 1"

const flags = {
  mode: Argument.Literals("mode", Plan.modes).pipe(
    Argument.withDescription(Plan.modes.map((mode) => `${mode}: ${Plan.defaults[mode].doc}`).join(". ")),
    Argument.withDefault("small" as Plan.Mode)
  ),
  server: ClientFlags.server,
  clients: setting(
    "clients",
    "number",
    wholeNumber,
    Setting.count(1, 1, "How many connections. Default: by mode")
  ),
  duration: setting(
    "duration",
    "duration",
    'a duration longer than zero such as "30 seconds" or 30s',
    Setting.duration("10 seconds", "For how long requests are sent, such as 10s. Default: by mode")
  ),
  requests: setting(
    "requests",
    "number",
    wholeNumber,
    Setting.count(1, 1, "How many requests each connection makes at most. Default: no limit; fan-out: 1")
  ),
  rate: setting(
    "rate",
    "number",
    wholeNumber,
    Setting.count(
      1,
      1,
      "Requests a second, of all connections. Latency then counts from when a request was to be sent (corrected) " +
        "and from when it was sent (raw). Default: as fast as responses come"
    )
  ),
  size: setting(
    "size",
    "bytes",
    "a size such as 100MB or 65536",
    Setting.bytes("100 MB", 1, "Bytes of each large result, such as 100MB. Default: by mode")
  ),
  query: Flag.String("query").pipe(
    Flag.withAlias("q"),
    Flag.withMetavar("sql"),
    Flag.withDescription("A query of your own in place of the small one"),
    Flag.optional
  ),
  threads: setting(
    "threads",
    "number",
    wholeNumber,
    Setting.count(2, 1, "How many threads make the load. Default: 2")
  ),
  json: Flag.Boolean("json").pipe(
    Flag.withDescription("Print the report as a JSON object"),
    Flag.withDefault(false)
  ),
  plot: Flag.String("plot").pipe(
    Flag.withMetavar("file"),
    Flag.withDescription("Write latency over time to an SVG file"),
    Flag.optional
  ),
  ceiling: Flag.Boolean("ceiling").pipe(
    Flag.withDescription(
      "Measure for a second what this load gets from a raw server on this machine. Default: true; --no-ceiling"
    ),
    Flag.withDefault(true)
  )
}

export type Flags = Command.Command.Config.Infer<typeof flags>

/** The command. Interruption ends the load and prints the counts so far. */
export const command = Command.make("bench", flags, (given) =>
  Effect.scoped(
    Effect.andThen(
      Signals.onSignals({ second: Effect.sync(() => ProcessExit.now(ofSignal(Signals.received()))) }),
      // It loads what no other command needs.
      Effect.flatMap(
        Effect.promise(() => import("./Bench.ts")),
        (Bench) => Bench.run(given)
      )
    )
  )
).pipe(
  Command.withDescription(
    "Put a load on a server and print throughput, percentiles of latency and errors. Any DuckDB server will do. " +
      "Exits with 1 if a response was not what it had to be, 2 if the server could not be reached, 130 if it was " +
      "interrupted."
  ),
  Command.withShortDescription("Put a load on a server and say how it did"),
  Command.withExamples([
    { command: "dataconn bench small --clients 64", description: "Small queries, as fast as they come" },
    {
      command: "dataconn bench small --rate 2000 --duration 30s --plot latency.svg",
      description: "At a fixed rate, with the waits that a closed loop hides"
    },
    {
      command: "dataconn bench fan-out --clients 100 --size 100MB",
      description: "A hundred clients, 100 MB each, every byte verified"
    },
    {
      command: "dataconn bench --query 'SELECT count(*) FROM trades'",
      description: "A query of your own"
    }
  ])
)
