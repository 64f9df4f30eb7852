/**
 * The known properties of the terminal.
 */
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as Effect from "effect/Effect"
import * as Stdio from "effect/Stdio"
import * as Terminal from "effect/Terminal"
import * as Style from "./Style.ts"

export { plain } from "./Style.ts"

export interface Screen {
  readonly stdinIsTerminal: boolean
  readonly stdoutIsTerminal: boolean
  readonly stderrIsTerminal: boolean
  /** Whether a line on standard error can be overwritten. */
  readonly canAnimate: boolean
  readonly columns: number
  readonly style: Style.Style
}

/** The assumed columns of a terminal that does not report them. */
const usualColumns = 80

/** The fewest columns of a table. */
const fewestColumns = 20

/** The present properties: a window may be resized. */
export const look: Effect.Effect<Screen, never, Stdio.Stdio | Terminal.Terminal> = Effect.gen(function* () {
  const stdio = yield* Stdio.Stdio
  const terminal = yield* Terminal.Terminal
  const columns = yield* terminal.columns
  const { canColor } = yield* TerminalCapabilities.TerminalCapabilities
  const stdoutIsTerminal = yield* stdio.stdoutIsTerminal
  const stderrIsTerminal = yield* stdio.stderrIsTerminal
  return {
    stdinIsTerminal: yield* stdio.stdinIsTerminal,
    stdoutIsTerminal,
    stderrIsTerminal,
    canAnimate: stderrIsTerminal && process.env["TERM"] !== "dumb",
    columns: columns > 0 ? Math.max(columns, fewestColumns) : usualColumns,
    style: canColor && stdoutIsTerminal ? Style.coloured : Style.plain
  }
})
