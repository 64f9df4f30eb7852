/**
 * `dataconn repl`: one statement after the other, at a prompt.
 */
import * as Console from "effect/Console"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Stdio from "effect/Stdio"
import * as Address from "../../net/Address.ts"
import * as Recorder from "../../recording/Recorder.ts"
import * as ClientFlags from "../ClientFlags.ts"
import { exitCodes, ofClientError } from "../ExitCodes.ts"
import * as QueryReport from "../QueryReport.ts"
import * as RecordFlags from "../RecordFlags.ts"
import * as ServerAddress from "../ServerAddress.ts"
import * as Screen from "../terminal/Screen.ts"
import * as Version from "../Version.ts"
import * as Connection from "./Connection.ts"
import { Frames, maxBytes } from "./Frames.ts"
import * as History from "./History.ts"
import * as Repl from "./Repl.ts"
import { defaultLimit, Session } from "./Session.ts"

const flags = {
  server: ClientFlags.server,
  format: Flag.withDescription(
    ClientFlags.format,
    `The format of results: ${ClientFlags.formats}. Default: table on a terminal, json elsewhere`
  ),
  limit: Flag.withDescription(
    ClientFlags.limit,
    `Show this many rows of a table at most, and stop the query then. Default: ${defaultLimit} on a terminal`
  ),
  pager: Flag.Boolean("pager").pipe(
    Flag.withDescription("Show results in DATACONN_PAGER, PAGER or less"),
    Flag.withDefault(false)
  ),
  timing: Flag.Boolean("timing").pipe(
    Flag.withDescription("Say how long each statement took"),
    Flag.withDefault(false)
  ),
  crlf: ClientFlags.crlf,
  header: ClientFlags.header,
  history: Flag.String("history").pipe(
    Flag.withMetavar("file"),
    Flag.withDescription(
      `Where to keep what was typed. Default: ${History.variable}, or else ~/.dataconn_history`
    ),
    Flag.optional
  ),
  heartbeatTolerance: ClientFlags.heartbeatTolerance,
  ...RecordFlags.flags
}

type Given = Command.Command.Config.Infer<typeof flags>

const fail = (message: string, exitCode: number) => new QueryReport.QueryCommandError({ message, exitCode })

const repl = Effect.fnUntraced(function* (given: Given) {
  const server = yield* Effect.mapError(ServerAddress.resolve(given.server), ({ message }) =>
    fail(`dataconn repl: ${message}`, exitCodes.failed)
  )
  const stdio = yield* Stdio.Stdio
  const isInteractive = (yield* stdio.stdinIsTerminal) && (yield* stdio.stdoutIsTerminal)
  const { style } = yield* Screen.look
  const frames = new Frames(style)
  const { check, observe } = yield* RecordFlags.start(given)
  const connection = yield* Connection.make(
    server,
    { heartbeatTolerance: given.heartbeatTolerance },
    (again) => Console.error(`The connection had ended; connected to ${again} again.`)
  ).pipe(
    Effect.mapError((error) => fail(QueryReport.clientError(error), ofClientError(error))),
    Recorder.watch(frames.listener, { maxBodySize: maxBytes }),
    observe === undefined ? identity : Recorder.observedBy(observe)
  )
  const session = new Session(connection, frames, { isInteractive, crlf: given.crlf, header: given.header })
  session.format = Option.getOrUndefined(given.format)
  session.limit = Option.getOrUndefined(given.limit)
  session.pager = given.pager
  session.timing = given.timing
  if (isInteractive) {
    const where = Address.format(server)
    yield* Console.log(
      `dataconn ${Version.version}, connected to ${where}. \\? shows the commands, \\q leaves.`
    )
  }
  const file = Option.getOrElse(given.history, () => History.file())
  yield* Effect.ensuring(Repl.loop(session, file, observe), RecordFlags.said(given))
  yield* check
}, Effect.scoped)

/** The command. Fails with a `QueryCommandError` that has been printed. */
export const command = Command.make("repl", flags, (given) =>
  Effect.tapError(repl(given), QueryReport.say)
).pipe(
  Command.withDescription(
    "Ask one question after the other. A statement ends with a semicolon and may have many lines; a command begins " +
      "with a backslash (\\? shows them). Tab completes keywords, tables and columns. Ctrl-C cancels the running query, " +
      "Ctrl-D leaves. From a pipe it runs what it reads, up to the first thing that fails, and ends with its exit code."
  ),
  Command.withShortDescription("Ask one question after the other"),
  Command.withExamples([
    { command: "dataconn repl", description: "Ask the server of this machine" },
    {
      command: "dataconn repl --server db:11653 --pager",
      description: "Look through long results of another"
    },
    { command: "dataconn repl --format csv < report.sql > report.csv", description: "Run a script" }
  ])
)
