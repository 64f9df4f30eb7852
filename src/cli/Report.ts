/**
 * The message of a failed command: one line on standard error if the user can fix the problem, the whole
 * trace if the program is at fault.
 */
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import type * as CliError from "effect/cli/CliError"
import * as CliOutput from "effect/cli/CliOutput"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import * as Printable from "../server/Printable.ts"

const oneLine = (text: string): string => Printable.line(text.trim().replace(/\s*\n\s*/g, " "))

const describe = (error: CliError.NonShowHelpErrors): string => {
  const suggestions = "suggestions" in error ? error.suggestions : []
  const [problem = ""] = error.message.split("\n\n")
  return suggestions.length === 0 ? problem : `${problem}; did you mean ${suggestions.join(" or ")}?`
}

/** Reports the problem with the arguments, instead of all possible ones. */
export const presenter: CliOutput.Presenter = {
  present: (event) => {
    const [error] = event._tag === "InvalidInvocation" ? event.errors : []
    if (event._tag !== "InvalidInvocation" || error === undefined) {
      return CliOutput.defaultPresenter.present(event)
    }
    const path = event.commandPath.join(" ")
    return Console.error(`${path}: ${oneLine(describe(error))} (see ${path} --help)`)
  }
}

const message = (error: unknown): string => oneLine(error instanceof Error ? error.message : String(error))

/** Whether a relative path could not be resolved. */
const isWithoutDirectory = (error: unknown): boolean =>
  (error as NodeJS.ErrnoException | null | undefined)?.syscall === "uv_cwd"

/** Prints the reason why a command failed, unless it was interrupted or has printed it itself. */
export const failure = (cause: Cause.Cause<unknown>): Effect.Effect<void> => {
  if (Cause.hasInterruptsOnly(cause)) return Effect.void
  if (isWithoutDirectory(Cause.squash(cause))) {
    const name = process.env["PWD"] === undefined ? "" : ` (${process.env["PWD"]})`
    return Console.error(
      Printable.line(
        `dataconn: the working directory${name} has been deleted: change to another one, or name files from the root`
      )
    )
  }
  if (Cause.hasDies(cause)) return Console.error(Printable.lines(Cause.pretty(cause)))
  const error = Cause.squash(cause)
  return Runtime.getErrorReported(error) ? Console.error(`dataconn: ${message(error)}`) : Effect.void
}
