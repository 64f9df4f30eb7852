/**
 * The `dataconn` command.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"
import * as ProcessExit from "../threads/ProcessExit.ts"
import * as Arguments from "./Arguments.ts"
import * as BrokenPipe from "./BrokenPipe.ts"
import { exitCodes, ofSignal, ofSignals } from "./ExitCodes.ts"
import * as Help from "./Help.ts"
import * as Report from "./Report.ts"
import * as Signals from "./Signals.ts"
import * as Subcommands from "./Subcommands.ts"
import * as Unfinished from "./Unfinished.ts"
import * as Utf8 from "./Utf8.ts"
import * as Version from "./Version.ts"

const subcommands = [...Subcommands.servers, ...Subcommands.clients] as const

const names = subcommands.map(({ name }) => name)

const command = Command.make("dataconn").pipe(
  Command.withDescription(
    "SQL over a network: a server of DuckDB, and what it takes to ask it from a terminal"
  ),
  Command.withSubcommands(subcommands),
  Command.withExamples([
    { command: "dataconn serve", description: "Serve sample tables on this machine" },
    { command: "dataconn query 'FROM trades LIMIT 5'", description: "Ask it, from a second terminal" },
    { command: "dataconn repl", description: "Ask one question after the other" },
    { command: "dataconn ping && echo ready", description: "See whether a server answers" },
    { command: "dataconn help query", description: "Read about a command" },
    { command: "dataconn completions bash >> ~/.bashrc", description: "Have Tab complete commands and files" }
  ])
)

/** Whatever has kept a query from ending may keep the process from ending too. */
const atOnce: ReadonlySet<number> = new Set([exitCodes.timedOut, ...ofSignals])

const teardown: Runtime.Teardown = (exit, onExit) => {
  const end = (code: number) => {
    if (!atOnce.has(code)) return onExit(code)
    Unfinished.remove()
    ProcessExit.now(code)
  }
  // An interrupted command fails, unless interruption is its normal end (see `Signals`).
  if (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)) {
    end(Number(process.exitCode ?? ofSignal(Signals.received())))
  } else {
    Runtime.defaultTeardown(exit, end)
  }
}

const runMain = Runtime.makeRunMain(({ fiber, teardown }) => {
  Signals.interrupt(fiber)
  fiber.addObserver((exit) =>
    teardown(exit, (code) => {
      if (code !== 0 || Signals.received() !== undefined) process.exit(code)
    })
  )
})

BrokenPipe.endsProcess()

const given = process.argv.slice(2)

Command.runWith(command, { version: Version.version })(Arguments.rewrite(given, names)).pipe(
  (run) => Effect.andThen(Utf8.checkArguments(given), run),
  Effect.provideService(CliOutput.Presenter, Report.presenter),
  Effect.provideService(CliOutput.Formatter, Help.formatter()),
  Effect.provideService(CliConfig.CliConfig, Help.config),
  Effect.tapCause(Report.failure),
  Effect.provide(NodeServices.layer),
  runMain({ teardown, disableErrorReporting: true })
)
