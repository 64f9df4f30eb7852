/**
 * The loop of the repl: reads a line, performs it, and continues.
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Printable from "../../server/Printable.ts"
import * as DebugLoop from "../debug/DebugLoop.ts"
import { exitCodes } from "../ExitCodes.ts"
import { QueryCommandError } from "../QueryReport.ts"
import type { Observe } from "../RecordFlags.ts"
import * as Signals from "../Signals.ts"
import * as Screen from "../terminal/Screen.ts"
import * as Commands from "./Commands.ts"
import * as Completion from "./Completion.ts"
import * as History from "./History.ts"
import { Input } from "./Input.ts"
import { Interruptible } from "./Interruptible.ts"
import * as LineReader from "./LineReader.ts"
import type { Session } from "./Session.ts"
import * as Settings from "./Settings.ts"
import { type Entry, TypedLines } from "./TypedLines.ts"

/** Completes a command, its argument, or a statement. */
const completer = (session: Session, input: Input) => (line: string, behind: string) => {
  const [, name, argument] = /^\s*\\(\S*)(?:\s+(\S*))?$/.exec(line) ?? []
  if (name === undefined) {
    return Effect.map(session.names, (catalogue) =>
      Completion.complete(line, { before: input.pending, behind, catalogue })
    )
  }
  if (argument === undefined) {
    const names = Array.from(Commands.commands.keys(), (name) => `\\${name}`)
    return Effect.succeed(Completion.completeWord(`\\${name}`, names))
  }
  const command = Commands.commands.get(name)
  return Effect.map(
    session.names,
    (catalogue) => command?.complete?.(argument, catalogue) ?? ([[], argument] as const)
  )
}

const prompt = (input: Input): string => `dataconn${input.mark === "=" ? "" : input.mark}> `

/** Reads and runs lines until the user leaves. Without a terminal, it fails with the first failure. */
export const loop = Effect.fnUntraced(function* (session: Session, historyFile: string, observe?: Observe) {
  const input = new Input()
  const interruptible = new Interruptible()
  const history = session.isInteractive ? History.load(historyFile) : undefined
  if (history?.problem !== undefined) {
    yield* Console.error(Printable.line(`The history is not kept: ${history.problem} (${History.variable})`))
  }
  let isDebugging = false
  const complete = completer(session, input)
  const reader = yield* LineReader.open({
    isTerminal: session.isInteractive,
    history: history?.entries ?? [],
    historySize: History.size,
    complete: (line, behind) =>
      isDebugging ? Effect.succeed(DebugLoop.complete(line)) : complete(line, behind),
    onInterrupt: interruptible.interrupt
  })
  if (session.isInteractive) yield* Signals.takeInterrupts(interruptible.interrupt)
  if (session.isInteractive) session.frames.print = reader.print
  const lines = new TypedLines()
  const remember = ({ lines, text }: Entry) => {
    if (lines.length > 1) reader.remember(text, lines)
    if (history?.isKept === true) History.append(historyFile, text)
  }
  const failed = (error: QueryCommandError) =>
    session.isInteractive ? Effect.as(Console.error(error.message), "go on" as const) : Effect.fail(error)
  const perform = Effect.fnUntraced(function* (line: string) {
    const before = input.pending
    const hint = session.isInteractive ? input.hint(line) : undefined
    if (hint !== undefined) yield* Console.error(hint)
    const exit = yield* interruptible.run(Commands.perform(session, input, line, 0))
    if (session.isInteractive) {
      const typed = { line, before, runs: Commands.runsPending(line), isOpen: input.pending !== "" }
      for (const entry of lines.push(typed)) remember(entry)
    }
    if (Exit.isSuccess(exit)) return exit.value
    const reported = Exit.findErrorOption(exit)
    if (reported._tag === "Some") return yield* failed(reported.value)
    return yield* Exit.hasInterrupts(exit) ? Effect.succeed("go on" as const) : Effect.failCause(exit.cause)
  })
  const { isInteractive } = session
  const debug = Effect.gen(function* () {
    const { style } = yield* Screen.look
    const options = { ...DebugLoop.defaults(session.connection.server()), style, observe }
    if (isInteractive) yield* Console.log(`${DebugLoop.greeting}, \\q goes back.`)
    isDebugging = true
    yield* DebugLoop.run({ reader, interruptible, isInteractive, options })
  }).pipe(
    Effect.catchTags({
      DebugError: (error) => failed(Settings.problem(error.message)),
      WireError: (error) =>
        failed(new QueryCommandError({ message: error.message, exitCode: exitCodes.noConnection }))
    }),
    Effect.ensuring(
      Effect.sync(() => {
        isDebugging = false
      })
    )
  )
  let line = 0
  const at: <A, R>(effect: Effect.Effect<A, QueryCommandError, R>) => Effect.Effect<A, QueryCommandError, R> =
    (effect) => (isInteractive ? effect : Commands.atLine("standard input", line, effect))
  for (;;) {
    const event = yield* reader.read(prompt(input))
    if (event._tag === "Interrupt") {
      input.clear()
      lines.clear()
    } else if (event._tag === "End") break
    else {
      line++
      const next = yield* at(perform(event.text))
      if (next === "quit") return
      if (next === "debug") yield* debug
    }
  }
  if (session.isInteractive) return yield* Console.log("")
  // The last statement of a script needs no semicolon.
  if (input.pending.trim() !== "") yield* at(perform(";"))
})
