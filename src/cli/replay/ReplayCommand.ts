/**
 * `dataconn replay`: plays a recording again, and reports differences.
 */
import { stat } from "node:fs/promises"
import * as Console from "effect/Console"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Address from "../../net/Address.ts"
import type { Difference } from "../../recording/Comparison.ts"
import type { Conversation } from "../../recording/Conversation.ts"
import * as Conversations from "../../recording/Conversation.ts"
import * as Plan from "../../recording/Plan.ts"
import * as Recording from "../../recording/Recording.ts"
import * as Printable from "../../server/Printable.ts"
import * as ClientFlags from "../ClientFlags.ts"
import { exitCodes } from "../ExitCodes.ts"
import * as QueryReport from "../QueryReport.ts"
import * as ServerAddress from "../ServerAddress.ts"
import * as Utf8 from "../Utf8.ts"
import * as Replay from "./Replay.ts"

const defaultTimeout = "30 seconds"

/** Slightly less than the longest string of JavaScript. */
const maxFileSize = 500_000_000

const flags = {
  file: Argument.String("file").pipe(
    Argument.withDescription("The recording: of --record, or of the package's Recorder")
  ),
  server: ClientFlags.server,
  timeout: Flag.String("timeout").pipe(
    Flag.withMetavar("duration"),
    Flag.withDescription(`How long an answer may take. Default: ${defaultTimeout}`),
    Flag.withDefault(defaultTimeout),
    ClientFlags.duration
  ),
  pace: Flag.Literals("pace", ["fast", "recorded"]).pipe(
    Flag.withDescription(
      "When things are sent: as soon as what came before them has come again, or after the recorded pauses. " +
        "Default: fast"
    ),
    Flag.withDefault("fast" as const)
  ),
  quiet: Flag.Boolean("quiet").pipe(
    Flag.withAlias("q"),
    Flag.withDescription("Say nothing: the exit code is the answer"),
    Flag.withDefault(false)
  )
}

type Given = Command.Command.Config.Infer<typeof flags>

const fail = (message: string, exitCode: number = exitCodes.failed) =>
  new QueryReport.QueryCommandError({ message: `dataconn replay: ${Printable.lines(message)}`, exitCode })

const read = (file: string) =>
  Effect.gen(function* () {
    const reading = (reading: () => Promise<string>) =>
      Effect.tryPromise({
        try: reading,
        catch: (cause) => fail(`cannot read ${file}: ${(cause as Error).message}`)
      })
    const text = yield* reading(async () => {
      if ((await stat(file)).size > maxFileSize) throw new Error(`it has more than ${maxFileSize} bytes`)
      return Utf8.fromFile(file)
    })
    const recording = yield* Effect.mapError(Effect.fromResult(Recording.parse(text)), ({ message }) =>
      fail(`${file}: ${message}`)
    )
    const plans = yield* Effect.mapError(Effect.fromResult(Plan.make(recording)), ({ message }) =>
      fail(`${file}: ${message}; record it with --record-values`)
    )
    return { recording, plans }
  })

const longest = 60

/** The query of a request, shortened. */
const queryOf = ({ exchanges }: Conversation, request: number): string => {
  const exchange = exchanges[request - 1]
  const query = exchange === undefined ? undefined : Conversations.json(exchange.request)?.["query"]
  return typeof query === "string" ? ` (${Printable.line(Printable.clip(query, longest))})` : ""
}

/** Most of a value that is shown. */
const maxValue = 200

const value = (text: string): string => Printable.line(Printable.clip(text, maxValue))

/** A line of the report. */
const line = (
  recorded: Conversation,
  { connection, now, recorded: then, request, what }: Difference
): string => {
  const where = request === undefined ? "" : `, request ${request}${queryOf(recorded, request)}`
  return `connection ${connection}${where}: ${what}: ${value(then)} was recorded, ${value(now)} now`
}

const count = (number: number, of: string): string => `${number} ${of}${number === 1 ? "" : "s"}`

/** The final line. */
const summary = (
  { header }: Recording.Recording,
  outcomes: ReadonlyArray<Replay.Outcome>,
  server: Address.Address
): string => {
  const requests = outcomes.flatMap(({ recorded }) => recorded.exchanges)
  const differences = outcomes.reduce((sum, outcome) => sum + outcome.differences.length, 0)
  const played = `${count(requests.length, "request")} on ${count(outcomes.length, "connection")} played on ${Address.format(server)}`
  const lost = requests.filter(({ request }) => request.content._tag !== "Exact").length
  const note =
    header.values === "kept"
      ? ""
      : `\nThe recording has no values: ${lost} of ${count(requests.length, "request")} lost some, and results are ` +
        "compared by their length at most."
  const found = differences === 0 ? "the answers are the same" : `${count(differences, "difference")}`
  return `${played}: ${found}.${note}`
}

const replay = Effect.fnUntraced(function* (given: Given) {
  const server = yield* Effect.mapError(ServerAddress.resolve(given.server), ({ message }) => fail(message))
  const { plans, recording } = yield* read(given.file)
  const options: Replay.Options = {
    server,
    header: recording.header,
    timeout: given.timeout,
    keepsPace: given.pace === "recorded"
  }
  const outcomes: Array<Replay.Outcome> = []
  for (const plan of plans) {
    const outcome = yield* Effect.mapError(Replay.play(plan, options), ({ message }) =>
      fail(message, exitCodes.noConnection)
    )
    outcomes.push(outcome)
    if (!given.quiet) {
      for (const difference of outcome.differences) yield* Console.log(line(outcome.recorded, difference))
    }
  }
  if (!given.quiet) yield* Console.error(summary(recording, outcomes, server))
  if (outcomes.some(({ differences }) => differences.length > 0)) {
    return yield* new QueryReport.QueryCommandError({ message: "", exitCode: exitCodes.differs })
  }
})

/** The command. Fails with a `QueryCommandError` that has been printed. */
export const command = Command.make("replay", flags, (given) =>
  Effect.tapError(replay(given), ({ message }) => (message === "" ? Effect.void : Console.error(message)))
).pipe(
  Command.withDescription(
    "Play a recording again, connection by connection, and say what differs: how responses end, their formats, " +
      "columns, codes and results. Times, query ids and how results are cut into chunks do not count. Exits with 0 if " +
      "the answers are the same, 4 if they differ, 1 if the file cannot be played, 2 without a connection, 129, 130, 131 or 143 " +
      "if a signal ended it."
  ),
  Command.withShortDescription("Play a recording again, and say what differs"),
  Command.withExamples([
    {
      command: "dataconn query --file report.sql --record report.jsonl --record-values > /dev/null",
      description: "Record what goes over the connection, with its values"
    },
    {
      command: "dataconn replay report.jsonl --server new:11653",
      description: "Ask another server the same, and see whether it answers the same"
    },
    {
      command: "dataconn replay session.jsonl --pace recorded",
      description: "With the pauses of the user who was recorded"
    }
  ])
)
