/**
 * `dataconn query`: runs one query and writes its result as it comes.
 */
import * as Console from "effect/Console"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as Client from "../client/Client.ts"
import { defaults } from "../client/Settings.ts"
import type { Format, Parameters } from "../engine/QueryApi.ts"
import * as Address from "../net/Address.ts"
import * as Setting from "../server/Setting.ts"
import * as ProcessExit from "./ProcessExit.ts"
import * as QueryDeadline from "./QueryDeadline.ts"
import * as QueryOutput from "./QueryOutput.ts"
import * as QueryParameters from "./QueryParameters.ts"
import * as QueryReceipt from "./QueryReceipt.ts"
import * as QueryReport from "./QueryReport.ts"
import * as Signals from "./Signals.ts"

const formats = {
  json: "application/json",
  ndjson: "application/x-ndjson",
  csv: "text/csv",
  arrow: "application/vnd.apache.arrow.stream",
  parquet: "application/vnd.apache.parquet"
} as const satisfies Record<string, Format>

const formatChoices: ReadonlyArray<readonly [string, Format]> = [
  ...Object.entries(formats),
  ...Object.values(formats).map((format) => [format, format] as const)
]

const defaultServer = `127.0.0.1:${Address.defaultPort}`

/** The value, or the message of the error that stands in its place. */
const orThrow = <A>(result: A | Error): A => {
  if (result instanceof Error) throw result
  return result
}

const message = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** As the settings of the server are written. */
const duration = Flag.filterMap(
  Schema.decodeUnknownOption(Setting.duration(Duration.infinity, "").schema),
  () => 'a duration longer than zero such as "30 seconds", 30s or Infinity'
)

const flags = {
  query: Argument.String("query").pipe(
    Argument.withDescription("The query; - or nothing reads it from standard input"),
    Argument.withDefault("-")
  ),
  server: Flag.String("server").pipe(
    Flag.withAlias("s"),
    Flag.withMetavar("address"),
    Flag.withDescription(`The server: HOST:PORT, [IPv6]:PORT or unix:PATH. Default: ${defaultServer}`),
    Flag.withDefault(defaultServer),
    Flag.mapTryCatch((text) => Result.getOrThrow(Address.parse(text)), message)
  ),
  format: Flag.ChoiceWithValue("format", formatChoices).pipe(
    Flag.withAlias("f"),
    Flag.withDescription("The format of the result, by its short name or media type. Default: json"),
    Flag.withDefault("application/json" as Format)
  ),
  parameters: Flag.String("param").pipe(
    Flag.withAlias("p"),
    Flag.withMetavar("[name=]value"),
    Flag.withDescription("A parameter, a JSON scalar or else a string; may be given several times"),
    Flag.atLeast(0),
    Flag.mapTryCatch((texts) => orThrow<Parameters>(QueryParameters.parse(texts)), message)
  ),
  output: Flag.String("output").pipe(
    Flag.withAlias("o"),
    Flag.withMetavar("file"),
    Flag.withDescription("Write the result to a file, which appears once it is whole"),
    Flag.optional
  ),
  verify: Flag.Boolean("verify").pipe(
    Flag.withDescription(
      "Have the server send a checksum behind the result, and fail if that is another one"
    ),
    Flag.withDefault(false)
  ),
  timeout: Flag.String("timeout").pipe(
    Flag.withMetavar("duration"),
    Flag.withDescription(
      `How long connecting and the query may take, such as "30 seconds"; the command ends ` +
        `${Duration.format(QueryDeadline.totalGrace)} later at the latest. Default: no limit`
    ),
    duration,
    Flag.withDefault(Duration.infinity)
  ),
  heartbeatTolerance: Flag.String("heartbeat-tolerance").pipe(
    Flag.withMetavar("duration"),
    Flag.withDescription(
      `Give the server up after this much silence. Default: ${defaults.heartbeatTolerance}`
    ),
    Flag.withDefault(String(defaults.heartbeatTolerance)),
    duration
  )
}

type Given = Command.Command.Config.Infer<typeof flags>

const queryText = Effect.fnUntraced(function* (argument: string) {
  if (argument !== "-") return argument
  const stdio = yield* Stdio.Stdio
  if (yield* stdio.stdinIsTerminal) yield* Console.error("Reading the query; end it with Ctrl-D")
  return yield* Stream.mkString(Stream.decodeText(stdio.stdin))
})

const request = (given: Given, query: string): Client.Query => ({
  query,
  parameters: given.parameters,
  format: given.format,
  ...(given.verify ? { receipt: true } : {}),
  ...(Duration.isFinite(given.timeout) ? { timeoutMs: Duration.toMillis(given.timeout) } : {})
})

/** What the client is told of the flags. Within a timeout there is less time to wait for the end of a cancel. */
const settings = ({ heartbeatTolerance, timeout }: Given) => ({
  heartbeatTolerance,
  ...(Duration.isFinite(timeout) ? { cancelTimeout: QueryDeadline.grace.cancel } : {})
})

const run = Effect.fnUntraced(function* (given: Given) {
  const query = yield* queryText(given.query)
  let phase = `connecting to ${Address.format(given.server)}`
  let incomplete = false
  const onWrite = () => {
    incomplete = true
  }
  const running = Effect.gen(function* () {
    const client = yield* Client.connect(given.server, settings(given))
    phase = "waiting for the server to accept the query"
    const response = yield* client.query(request(given, query))
    const chunks = given.verify ? yield* QueryReceipt.verified(response) : response.chunks
    phase = "receiving the result"
    yield* Option.isSome(given.output)
      ? QueryOutput.toFile(chunks, given.output.value, { onWrite })
      : QueryOutput.toStdout(chunks, { onWrite, finalNewline: given.format === formats.json })
  })
  yield* QueryDeadline.enforce(Effect.scoped(running), { timeout: given.timeout, phase: () => phase }).pipe(
    Effect.mapError((error) => QueryReport.report(error, { query, incomplete })),
    Effect.tapError((error) => Console.error(error.message))
  )
})

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
      Signals.onSecond(Effect.sync(() => ProcessExit.now(QueryReport.exitCodes.interrupted))),
      run(given)
    )
  )
).pipe(
  Command.withDescription(
    "Run a query and write its result to standard output. Exits with 1 if the query failed, 2 if the server " +
      "could not be reached or was lost, 124 if it took too long, 130 if it was cancelled (Ctrl-C). On a terminal " +
      "characters that could steer it or that show nothing are escaped; a pipe or file gets the bytes as they are."
  ),
  Command.withShortDescription("Run a query and write its result"),
  Command.withExamples([
    { command: "dataconn query 'SELECT 42 AS answer'", description: "Print a result as JSON" },
    {
      command: "dataconn query 'SELECT * FROM trades WHERE symbol = $s' --param s=AAPL --format csv",
      description: "Name a parameter"
    },
    {
      command: "dataconn query --format parquet --output trades.parquet < query.sql",
      description: "Save the result of a query in a file"
    }
  ])
)
