/**
 * The `dataconn` command.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"
import * as BenchCommand from "./load/BenchCommand.ts"
import * as ProcessExit from "./ProcessExit.ts"
import * as QueryCommand from "./QueryCommand.ts"
import * as QueryReport from "./QueryReport.ts"
import * as Report from "./Report.ts"
import * as ServeCommand from "./ServeCommand.ts"
import * as Version from "./Version.ts"

const command = Command.make("dataconn").pipe(
  Command.withDescription("Stream query results between services"),
  Command.withSubcommands([ServeCommand.command, QueryCommand.command, BenchCommand.command])
)

/** What has kept a query from ending may keep the process from it too. */
const atOnce: ReadonlySet<number> = new Set([
  QueryReport.exitCodes.timedOut,
  QueryReport.exitCodes.interrupted
])

const teardown: Runtime.Teardown = (exit, onExit) => {
  const end = (code: number) => (atOnce.has(code) ? ProcessExit.now(code) : onExit(code))
  // An interrupted command fails, unless being interrupted is the way to end it (see `Signals`).
  if (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)) {
    end(Number(process.exitCode ?? QueryReport.exitCodes.interrupted))
  } else {
    Runtime.defaultTeardown(exit, end)
  }
}

Command.run(command, { version: Version.version }).pipe(
  Effect.provideService(CliOutput.Presenter, Report.presenter),
  Effect.tapCause(Report.failure),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain({ teardown, disableErrorReporting: true })
)
