/**
 * The commands of the repl that change the form and the destination of results.
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Printable from "../../server/Printable.ts"
import { exitCodes } from "../ExitCodes.ts"
import * as Formats from "../Formats.ts"
import * as QueryOutput from "../QueryOutput.ts"
import * as QueryReport from "../QueryReport.ts"
import type { Call, Next } from "./Commands.ts"
import type { Session } from "./Session.ts"

/** An error of a command, which the repl prints before it goes on. */
export const problem = (message: string): QueryReport.QueryCommandError =>
  new QueryReport.QueryCommandError({ message, exitCode: exitCodes.failed })

/** Runs the effect, prints the new state, and continues. */
export const set = <R>(
  effect: Effect.Effect<string, QueryReport.QueryCommandError, R>
): Effect.Effect<Next, QueryReport.QueryCommandError, R> =>
  Effect.as(
    Effect.flatMap(effect, (said) => Console.log(said)),
    "go on"
  )

const words: Readonly<Record<string, boolean>> = { on: true, off: false }

/** A setting that is on or off; without an argument it toggles. */
export const toggle =
  (name: string, get: (session: Session) => boolean, change: (session: Session, value: boolean) => void) =>
  ({ argument, session }: Call) =>
    set(
      Effect.suspend(() => {
        const value = argument === "" ? !get(session) : words[argument.toLowerCase()]
        if (value === undefined) return Effect.fail(problem(`${name}: on or off, not ${argument}`))
        change(session, value)
        return Effect.succeed(`${name} is ${value ? "on" : "off"}.`)
      })
    )

/** `\format` */
export const setFormat = ({ argument, session }: Call) =>
  set(
    Effect.suspend(() => {
      if (argument !== "" && argument !== "auto") {
        const [, shown] = Formats.choices.find(([name]) => name === argument.toLowerCase()) ?? []
        if (shown === undefined) {
          const names = Object.keys(Formats.short).join(", ")
          return Effect.fail(problem(`\\format: expected ${names} or auto, not ${argument}`))
        }
        session.format = shown
      } else if (argument === "auto") session.format = undefined
      const now = session.format === undefined ? "auto" : Formats.nameOf(session.format)
      return Effect.succeed(`The format is ${now}.`)
    })
  )

const layouts = { on: "vertical", off: "table", auto: "auto" } as const

/** `\x` */
export const expand = ({ argument, session }: Call) =>
  set(
    Effect.suspend(() => {
      const wanted = argument.toLowerCase()
      if (argument === "") session.layout = session.layout === "vertical" ? "auto" : "vertical"
      else if (Object.hasOwn(layouts, wanted)) session.layout = layouts[wanted as keyof typeof layouts]
      else return Effect.fail(problem(`\\x: on, off or auto, not ${argument}`))
      const said = {
        vertical: "Each row is turned on its side.",
        table: "No row is turned on its side.",
        auto: "Rows that do not fit are turned on their side."
      }
      return Effect.succeed(said[session.layout])
    })
  )

/** `\limit` */
export const setLimit = ({ argument, session }: Call) =>
  set(
    Effect.suspend(() => {
      if (argument === "off") session.limit = Number.POSITIVE_INFINITY
      else if (/^[1-9]\d*$/.test(argument)) session.limit = Number(argument)
      else if (argument !== "")
        return Effect.fail(problem(`\\limit: a number of rows or off, not ${argument}`))
      const rows = session.maxRows
      return Effect.succeed(
        Number.isFinite(rows) ? `At most ${rows} rows of a table are shown.` : "All rows are shown."
      )
    })
  )

/** `\o` */
export const setOutput = ({ argument, session }: Call) =>
  set(
    Effect.gen(function* () {
      if (argument !== "") {
        yield* Effect.mapError(QueryOutput.check(argument), ({ message }) =>
          problem(`\\o: ${Printable.line(message)}`)
        )
      }
      session.output = argument === "" ? undefined : { file: argument, results: 0 }
      return session.output === undefined
        ? "Results are shown here."
        : `Results go to ${argument}, whose first one replaces what it holds.`
    })
  )
