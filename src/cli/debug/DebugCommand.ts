/**
 * `dataconn debug`: sends frames by hand, and shows all frames of a connection.
 */
import * as Console from "effect/Console"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { LengthCounts } from "../../framing/LengthDelimited.ts"
import * as Printable from "../../server/Printable.ts"
import * as Setting from "../../server/Setting.ts"
import * as ClientFlags from "../ClientFlags.ts"
import { exitCodes } from "../ExitCodes.ts"
import * as QueryReport from "../QueryReport.ts"
import * as RecordFlags from "../RecordFlags.ts"
import * as Interruptible from "../repl/Interruptible.ts"
import * as LineReader from "../repl/LineReader.ts"
import * as ServerAddress from "../ServerAddress.ts"
import * as Signals from "../Signals.ts"
import * as Screen from "../terminal/Screen.ts"
import * as Utf8 from "../Utf8.ts"
import type { Options } from "./Debugger.ts"
import * as DebugLoop from "./DebugLoop.ts"
import * as FrameView from "./FrameView.ts"
import * as Step from "./Step.ts"

const { defaultMaxBytes, defaultPatience } = DebugLoop

const flags = {
  server: ClientFlags.server,
  script: Flag.String("script").pipe(
    Flag.withMetavar("file"),
    Flag.withDescription("Do the steps of a file, a line each, up to the first that fails"),
    Flag.optional
  ),
  bodies: Flag.Literals("bodies", FrameView.bodies).pipe(
    Flag.withDescription("How bodies are shown. Default: auto, which is text, or hex where they are none"),
    Flag.withDefault("auto" as FrameView.Bodies)
  ),
  maxBytes: Flag.String("max-bytes").pipe(
    Flag.withMetavar("bytes"),
    Flag.withDescription(`Show so many bytes of a body at most. Default: ${defaultMaxBytes}`),
    Flag.withDefault(String(defaultMaxBytes)),
    Flag.filterMap(
      Schema.decodeUnknownOption(Setting.bytes("0 B", 0, "", 16 * 1024 * 1024).schema),
      () => "a size up to 16 MiB, such as 64 KiB or 65536"
    )
  ),
  heartbeats: Flag.Boolean("heartbeats").pipe(
    Flag.withDescription("Show the server's heartbeats. Default: true; --no-heartbeats"),
    Flag.withDefault(true)
  ),
  patience: Flag.String("patience").pipe(
    Flag.withMetavar("duration"),
    Flag.withDescription(`How long an await or expect may take. Default: ${defaultPatience}`),
    Flag.withDefault(defaultPatience),
    ClientFlags.duration
  ),
  lengthCounts: Flag.Literals("length-counts", LengthCounts.literals).pipe(
    Flag.withDescription("What the length of a frame counts, as the server has it. Default: body"),
    Flag.withDefault("body" as const)
  ),
  ...RecordFlags.flags
}

type Given = Command.Command.Config.Infer<typeof flags>

const fail = (message: string, exitCode: number = exitCodes.failed) =>
  new QueryReport.QueryCommandError({ message: `dataconn debug: ${Printable.lines(message)}`, exitCode })

const readScript = (file: string) =>
  Effect.flatMap(
    Effect.tryPromise({
      try: () => Utf8.fromFile(file),
      catch: (cause) => fail(`cannot read --script ${file}: ${(cause as Error).message}`)
    }),
    (text) =>
      Effect.mapError(Effect.fromResult(Step.script(text)), ({ problem }) => fail(`${file}: ${problem}`))
  )

/** Ends quietly when the output's reader has left, as with `| head`. */
const untilNobodyReads = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.raceFirst(
    effect,
    Effect.callback<never, QueryReport.QueryCommandError>((resume) => {
      const left = new QueryReport.QueryCommandError({ message: "", exitCode: exitCodes.unread })
      const gone = () => resume(Effect.fail(left))
      process.stdout.on("error", gone)
      return Effect.sync(() => process.stdout.off("error", gone))
    })
  )

const atPrompt = Effect.fnUntraced(function* (options: Options, isInteractive: boolean) {
  const interruptible = new Interruptible.Interruptible()
  const reader = yield* LineReader.open({
    isTerminal: isInteractive,
    history: [],
    historySize: 1000,
    complete: (line) => Effect.succeed(DebugLoop.complete(line)),
    onInterrupt: interruptible.interrupt
  })
  if (isInteractive) {
    yield* Signals.takeInterrupts(interruptible.interrupt)
    yield* Console.log(`${DebugLoop.greeting}, quit leaves.`)
  }
  yield* DebugLoop.run({ reader, interruptible, isInteractive, options })
})

const debug = Effect.fnUntraced(function* (given: Given) {
  const server = yield* Effect.mapError(ServerAddress.resolve(given.server), ({ message }) => fail(message))
  const steps = Option.isNone(given.script) ? undefined : yield* readScript(given.script.value)
  const { stdinIsTerminal, stdoutIsTerminal, style } = yield* Screen.look
  const { check, observe } = yield* RecordFlags.start(given, given.lengthCounts)
  const options: Options = {
    server,
    lengthCounts: given.lengthCounts,
    bodies: given.bodies,
    maxBytes: given.maxBytes,
    heartbeats: given.heartbeats,
    patience: given.patience,
    style,
    print: (text) => void process.stdout.write(`${text}\n`),
    observe
  }
  const running =
    steps === undefined
      ? atPrompt(options, stdinIsTerminal && stdoutIsTerminal)
      : DebugLoop.script(steps, options)
  yield* untilNobodyReads(running).pipe(
    Effect.mapError((error) => {
      if (error._tag === "WireError") return fail(error.message, exitCodes.noConnection)
      if (error._tag === "QueryCommandError") {
        return error.message === "" ? error : fail(error.message, error.exitCode)
      }
      return fail(
        Option.match(given.script, { onNone: () => "", onSome: (file) => `${file}: ` }) + error.message
      )
    }),
    Effect.onExit(() => RecordFlags.said(given))
  )
  yield* check
}, Effect.scoped)

/** The command. Fails with a `QueryCommandError` that has been printed. */
export const command = Command.make("debug", flags, (given) =>
  Effect.tapError(debug(given), QueryReport.say)
).pipe(
  Command.withDescription(
    "See every frame of a connection, with its time, direction, type, length and body, and send frames by hand: " +
      "illegal ones too, in pieces, with pauses. A line that is typed, or of a script, is a step; help at the prompt " +
      "shows them. Exits with 0 if all steps were done, 1 if one was not or what it waits for did not come, 2 without " +
      "a connection, 129, 130, 131 or 143 if a signal ended it."
  ),
  Command.withShortDescription("See and send the frames of a connection by hand"),
  Command.withExamples([
    { command: "dataconn debug", description: "Talk to the server of this machine by hand" },
    {
      command: "printf 'query SELECT 42 AS a\\nawait terminal\\n' | dataconn debug --bodies json",
      description: "See what an answer is made of"
    },
    {
      command: "dataconn debug --script attack.txt --record attack.jsonl --record-values",
      description: "Do the steps of a file, and record what goes over the connection"
    }
  ])
)
