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
import * as ProcessExit from "./ProcessExit.ts"
import * as QueryCommand from "./QueryCommand.ts"
import * as QueryReport from "./QueryReport.ts"
import * as Report from "./Report.ts"
import * as ServeCommand from "./ServeCommand.ts"
import * as Version from "./Version.ts"

const command = Command.make("dataconn").pipe(
  Command.withDescription("Stream query results between services"),
  Command.withSubcommands([ServeCommand.command, QueryCommand.command])
)

// An interrupted command fails, unless being interrupted is the way to end it (see `Signals`).
const teardown: Runtime.Teardown = (exit, onExit) => {
  if (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)) {
    return onExit(Number(process.exitCode ?? 130))
  }
  // What has kept a query from ending in time may keep the process from it too.
  Runtime.defaultTeardown(exit, (code) =>
    code === QueryReport.exitCodes.timedOut ? ProcessExit.now(code) : onExit(code)
  )
}

Command.run(command, { version: Version.version }).pipe(
  Effect.provideService(CliOutput.Presenter, Report.presenter),
  Effect.tapCause(Report.failure),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain({ teardown, disableErrorReporting: true })
)
