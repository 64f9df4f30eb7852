/**
 * `dataconn query`: runs statements one after the other and writes their results as they come.
 */
import * as Console from "effect/Console"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ParameterText from "../engine/ParameterText.ts"
import type { Metadata, Parameters } from "../engine/QueryApi.ts"
import * as ProcessExit from "../threads/ProcessExit.ts"
import * as ClientFlags from "./ClientFlags.ts"
import { ofSignal } from "./ExitCodes.ts"
import * as QueryDeadline from "./QueryDeadline.ts"
import * as QueryParameters from "./QueryParameters.ts"
import * as QueryReport from "./QueryReport.ts"
import * as QueryRun from "./QueryRun.ts"
import * as RecordFlags from "./RecordFlags.ts"
import * as Signals from "./Signals.ts"
import * as Unfinished from "./Unfinished.ts"

/** The value. Throws if it is an error. */
const orThrow = <A>(result: A | Error): A => {
  if (result instanceof Error) throw result
  return result
}

const flags = {
  query: Argument.String("query").pipe(
    Argument.withDescription("The query, or several with ; between them; - or nothing reads standard input"),
    Argument.optional
  ),
  file: Flag.String("file").pipe(
    Flag.withMetavar("file"),
    Flag.withDescription("Read the query from a file; - is standard input"),
    Flag.optional
  ),
  server: ClientFlags.server,
  parameters: Flag.String("param").pipe(
    Flag.withAlias("p"),
    Flag.withMetavar("[name][:type]=value"),
    Flag.withDescription(
      "A parameter: VALUE, NAME=VALUE, or 1=VALUE by its position; a JSON scalar or else a text, " +
        `unless it has a type as in NAME:TYPE=VALUE (${ParameterText.typeNames.join(", ")}). May be given several times`
    ),
    Flag.atLeast(0),
    Flag.mapTryCatch((texts) => orThrow<Parameters>(QueryParameters.parse(texts)), ClientFlags.message)
  ),
  metadata: Flag.String("metadata").pipe(
    Flag.withAlias("m"),
    Flag.withMetavar("name=value"),
    Flag.withDescription("Who asks, for a server that wants to know; may be given several times"),
    Flag.atLeast(0),
    Flag.mapTryCatch((texts) => orThrow<Metadata>(QueryParameters.metadata(texts)), ClientFlags.message)
  ),
  format: ClientFlags.format,
  numbers: Flag.Literals("numbers", ["number", "string"]).pipe(
    Flag.withDescription(
      "How JSON has numbers that a double may not hold: as numbers, or as strings, as NaN and Infinity are then, too. Default: number"
    ),
    Flag.withDefault("number" as const)
  ),
  output: Flag.String("output").pipe(
    Flag.withAlias("o"),
    Flag.withMetavar("file"),
    Flag.withDescription("Write the result to a file, which appears once it is whole; - is standard output"),
    Flag.optional
  ),
  verify: Flag.Boolean("verify").pipe(
    Flag.withDescription(
      "Have the server send a checksum behind the result, and fail if that is another one"
    ),
    Flag.withDefault(false)
  ),
  crlf: ClientFlags.crlf,
  header: ClientFlags.header,
  limit: ClientFlags.limit,
  pager: Flag.Boolean("pager").pipe(
    Flag.withDescription("On a terminal, show the result in DATACONN_PAGER, PAGER or less"),
    Flag.withDefault(false)
  ),
  timing: Flag.Boolean("timing").pipe(
    Flag.withDescription("Say on standard error how long each query took, and how many bytes came"),
    Flag.withDefault(false)
  ),
  quiet: Flag.Boolean("quiet").pipe(
    Flag.withAlias("q"),
    Flag.withDescription("On a terminal, show neither progress nor the number of rows"),
    Flag.withDefault(false)
  ),
  split: Flag.Boolean("split").pipe(
    Flag.withDescription(
      "Send what stands between semicolons as queries of their own; --no-split sends all as one"
    ),
    Flag.withDefault(true)
  ),
  timeout: Flag.String("timeout").pipe(
    Flag.withMetavar("duration"),
    Flag.withDescription(
      `How long connecting and all queries may take, such as "30 seconds"; the command ends ` +
        `${Duration.format(QueryDeadline.totalGrace)} later at the latest. Default: no limit`
    ),
    ClientFlags.duration,
    Flag.withDefault(Duration.infinity)
  ),
  requestTimeout: ClientFlags.requestTimeout,
  heartbeatTolerance: ClientFlags.heartbeatTolerance,
  ...RecordFlags.flags
}

/** Lets the user leave a server that takes long to confirm a cancel. */
const impatience = Effect.andThen(
  Effect.sleep("1 second"),
  Console.error("Waiting for the server to confirm the cancel; Ctrl-C again does not wait.")
)

/** The given flags. */
export type Given = Command.Command.Config.Infer<typeof flags>

/**
 * The command.
 *
 * **Details**
 *
 * Fails with a `QueryCommandError` that carries the exit code (`Runtime.errorExitCode`) and has been printed.
 * Interruption cancels the query on the wire before the command ends; a second signal does not wait for that.
 */
export const command = Command.make("query", flags, (given) =>
  Effect.scoped(
    Effect.andThen(
      Signals.onSignals({
        first: impatience,
        second: Effect.sync(() => {
          Unfinished.remove()
          ProcessExit.now(ofSignal(Signals.received()))
        })
      }),
      Effect.tapError(
        RecordFlags.during(given)(
          QueryRun.run({ ...given, limit: Option.getOrElse(given.limit, () => Number.POSITIVE_INFINITY) })
        ),
        QueryReport.say
      )
    )
  )
).pipe(
  Command.withDescription(
    "Run queries and write their results. On a terminal a result is a table, and characters that could steer it or " +
      "that show nothing are escaped; a pipe or file gets the bytes as they are. Ctrl-C cancels the query on the " +
      "server; pressed twice, it does not wait for that. Exits with 0 if all is whole, 1 if a query failed, 2 without " +
      "a connection, 3 if it was lost, 75 if the server says to try again, 124 if it took too long, 141 if nobody reads it " +
      "any more, 129, 130, 131 or 143 if a signal ended it."
  ),
  Command.withShortDescription("Run queries and write their results"),
  Command.withExamples([
    { command: "dataconn query 'SELECT * FROM trades LIMIT 3'", description: "See a result as a table" },
    {
      command: "dataconn query 'SELECT * FROM trades WHERE symbol = $s' --param s=ABC --format csv > abc.csv",
      description: "Name a parameter, and redirect CSV"
    },
    {
      command: "dataconn query --file report.sql --output report.parquet",
      description: "Run a file, and save the result in the format of the file's name"
    },
    {
      command: "dataconn query 'FROM trades' --server db:11653 --pager",
      description: "Look through a long result of another server"
    }
  ])
)
