/**
 * The debugger at a prompt: performs each line.
 */
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Address } from "../../net/Address.ts"
import * as Printable from "../../server/Printable.ts"
import * as Completion from "../repl/Completion.ts"
import type { Interruptible } from "../repl/Interruptible.ts"
import type { LineReader } from "../repl/LineReader.ts"
import { DebugError, Debugger, type Options } from "./Debugger.ts"
import * as Step from "./Step.ts"

/** The greeting at the start. */
export const greeting = "A line is a step, such as query SELECT 1; help shows all"

/** Default for the shown bytes of a body. */
export const defaultMaxBytes = 1024

/** Default for the longest wait of a step. */
export const defaultPatience = "10 seconds"

/** The options of a debugger for which only the server is given. */
export const defaults = (server: Address): Omit<Options, "observe" | "print" | "style"> => ({
  server,
  lengthCounts: "body",
  bodies: "auto",
  maxBytes: defaultMaxBytes,
  heartbeats: true,
  patience: Duration.fromInputUnsafe(defaultPatience)
})

/** The prompt. */
const prompt = "debug> "

/** Tab completion: the first words of lines. */
export const complete = (line: string): Completion.Completion => {
  const words = Step.forms.flatMap(([form]) =>
    form.split(", ").flatMap((each) => each.split(" ")[0]?.match(/^[a-z-]{2,}$/) ?? [])
  )
  return /\s/.test(line) ? [[], line] : Completion.completeWord(line, [...words, "help", "quit"])
}

/** The help of the prompt. */
export const help = (): string => {
  const width = Math.max(...Step.forms.map(([form]) => form.length))
  return [
    "A line is a step. BODY is a text, hex:00ff, or @FILE. Tab completes, Ctrl-C ends a wait.",
    "",
    ...[...Step.forms, ["help, quit", "This help; leaves, as Ctrl-D does"] as const].map(
      ([form, meaning]) => `  ${form.padEnd(width)}  ${meaning}`
    )
  ].join("\n")
}

const words: Readonly<Record<string, "help" | "quit">> = {
  help: "help",
  "\\?": "help",
  "?": "help",
  quit: "quit",
  exit: "quit",
  q: "quit",
  "\\q": "quit"
}

const perform = (debug: Debugger, line: string) =>
  Effect.gen(function* () {
    const step = yield* Effect.fromResult(Step.parse(line))
    if (step !== undefined) yield* debug.perform(step)
  })

export interface Loop {
  readonly reader: LineReader
  readonly interruptible: Interruptible
  readonly isInteractive: boolean
  readonly options: Omit<Options, "print">
}

/**
 * Connects, and performs the typed steps until the user leaves. Without a terminal, it fails with the first
 * step that fails.
 */
export const run = Effect.fnUntraced(function* ({ interruptible, isInteractive, options, reader }: Loop) {
  const debug = yield* Debugger.make({ ...options, print: reader.print })
  yield* debug.connect
  const say = ({ message }: { readonly message: string }) => Console.error(Printable.lines(message))
  let line = 0
  for (;;) {
    const event = yield* reader.read(prompt)
    line++
    if (event._tag === "End") break
    if (event._tag === "Interrupt") continue
    const typed = event.text.trim().toLowerCase()
    const word = Object.hasOwn(words, typed) ? words[typed] : undefined
    if (word === "quit") return
    if (word === "help") yield* Console.log(help())
    if (word !== undefined) continue
    const exit = yield* interruptible.run(perform(debug, event.text))
    if (Exit.isSuccess(exit) || Exit.hasInterrupts(exit)) continue
    const error = Exit.findErrorOption(exit)
    if (error._tag === "None") return yield* Effect.failCause(exit.cause)
    if (!isInteractive) return yield* at(line, error.value)
    yield* say(error.value)
  }
  yield* isInteractive ? Console.log("") : debug.settle
}, Effect.scoped)

/** The error with the number of its line. */
const at = <E extends { readonly _tag: string; readonly message: string }>(line: number, error: E) =>
  error._tag === "WireError" ? error : new DebugError({ problem: `line ${line}: ${error.message}` })

/** Performs the steps of a script, up to the first that fails, whose line the error names. */
export const script = Effect.fnUntraced(function* (lines: ReadonlyArray<Step.Line>, options: Options) {
  const debug = yield* Debugger.make(options)
  yield* debug.connect
  for (const { line, step } of lines) {
    yield* Effect.mapError(debug.perform(step), (error) => at(line, error))
  }
  yield* debug.settle
  yield* debug.disconnect
}, Effect.scoped)
