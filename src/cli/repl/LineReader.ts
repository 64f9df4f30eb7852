/**
 * Lines from standard input, by `node:readline`: with the usual editing, history and
 * completion on a terminal.
 */
import * as Readline from "node:readline"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import { exitCodes } from "../ExitCodes.ts"
import { QueryCommandError } from "../QueryReport.ts"
import * as Utf8 from "../Utf8.ts"
import type { Completion } from "./Completion.ts"

/** An event of the user's input. */
export type Event =
  | { readonly _tag: "Line"; readonly text: string }
  /** Ctrl-C. */
  | { readonly _tag: "Interrupt" }
  /** Ctrl-D, or the end of the input. */
  | { readonly _tag: "End" }

/** Input that is not UTF-8, which readline would silently replace. */
interface Ill {
  readonly _tag: "Ill"
  readonly offset: number
}

export interface Options {
  /** Whether there is a terminal to edit lines on. */
  readonly isTerminal: boolean
  /** Entries of the history, newest first, and how many are kept. */
  readonly history: ReadonlyArray<string>
  readonly historySize: number
  /** Completes the text before the cursor. `behind` is the rest of the line. */
  readonly complete: (line: string, behind: string) => Effect.Effect<Completion>
  /** Called at Ctrl-C while no line is read. */
  readonly onInterrupt: () => void
}

export interface LineReader {
  /**
   * Waits for the next line. The reader owns the terminal only during this call. If input through a pipe is
   * not UTF-8, it fails before any line that came with it.
   */
  readonly read: (prompt: string) => Effect.Effect<Event, QueryCommandError>
  /** Shows a text above the line being typed. */
  readonly print: (text: string) => void
  /** Replaces entries of the history by one, the newest of each text. */
  readonly remember: (entry: string, instead: ReadonlyArray<string>) => void
}

/** Opens the reader; closing the scope releases the terminal. */
export const open = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<LineReader, never, Scope.Scope> {
  const context = yield* Effect.context<never>()
  // Lines that were pasted together arrive together, and no more are read before they have been consumed.
  const events = yield* Queue.unbounded<Event | Ill>()
  const offer = (event: Event | Ill) => void Queue.offerUnsafe(events, event)
  let isReading = false
  let isClosed = false
  let history: Array<string> = []
  const completer = (
    line: string,
    callback: (error: null, completion: [Array<string>, string]) => void
  ): void => {
    const behind = editor.line.slice(editor.cursor)
    const completed = Effect.map(options.complete(line, behind), ([matches, word]) =>
      callback(null, [[...matches], word])
    )
    Effect.runForkWith(context)(completed)
  }
  const check = checkUtf8((offset) => offer({ _tag: "Ill", offset }))
  // Before readline, so that its lines come after the check.
  if (!options.isTerminal) process.stdin.on("data", check).on("end", check)
  const editor = Readline.createInterface({
    input: process.stdin,
    ...(options.isTerminal ? { output: process.stdout, completer } : {}),
    terminal: options.isTerminal,
    history: [...options.history],
    historySize: options.historySize,
    removeHistoryDuplicates: true
  })
  editor.on("history", (entries) => {
    history = entries
  })
  editor.on("line", (text) => {
    release()
    offer({ _tag: "Line", text })
  })
  const clearLine = () => {
    editor.write(null, { ctrl: true, name: "e" })
    editor.write(null, { ctrl: true, name: "u" })
    process.stdout.write("^C\n")
  }
  editor.on("SIGINT", () => {
    if (!isReading) return options.onInterrupt()
    clearLine()
    release()
    offer({ _tag: "Interrupt" })
  })
  editor.on("close", () => {
    isReading = false
    isClosed = true
    offer({ _tag: "End" })
  })

  /** In raw mode Ctrl-C is a character; otherwise it is a signal, which also reaches pagers. */
  const raw = (mode: boolean) => {
    if (options.isTerminal) process.stdin.setRawMode(mode)
  }
  const release = () => {
    isReading = false
    editor.pause()
    raw(false)
  }
  // After Ctrl-Z or a stop from outside, the shell may have changed the mode of the terminal, and readline has
  // paused its input. It does that in a listener of the same signal, so this waits for it.
  const onContinue = () =>
    setImmediate(() => {
      if (!isReading) return
      raw(false)
      raw(true)
      editor.prompt(true)
    })
  if (options.isTerminal) process.on("SIGCONT", onContinue)
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      process.off("SIGCONT", onContinue)
      editor.close()
      process.stdin.off("data", check).off("end", check)
      process.stdin.unref?.()
    })
  )
  release()
  return {
    read: (prompt) =>
      Effect.suspend(() => {
        if (Queue.sizeUnsafe(events) === 0) {
          if (isClosed) return Effect.succeed<Event>({ _tag: "End" })
          isReading = true
          raw(true)
          editor.setPrompt(options.isTerminal ? prompt : "")
          editor.prompt(true)
        }
        return Effect.flatMap(Queue.take(events), (event) =>
          event._tag === "Ill" ? Effect.fail(illInput(event)) : Effect.succeed(event)
        )
      }),
    print: (text) => {
      if (!options.isTerminal) return void process.stdout.write(`${text}\n`)
      if (isReading) {
        Readline.moveCursor(process.stdout, 0, -editor.getCursorPos().rows)
        // The shown text is not the editor's, which would otherwise move up by so many lines
        // to redraw its own.
        Object.assign(editor, { prevRows: 0 })
      }
      Readline.cursorTo(process.stdout, 0)
      Readline.clearScreenDown(process.stdout)
      process.stdout.write(`${text}\n`)
      if (isReading) editor.prompt(true)
    },
    remember: (entry, instead) => {
      for (const line of new Set(instead)) {
        const at = history.indexOf(line)
        if (at !== -1) history.splice(at, 1)
      }
      if (history[0] !== entry) history.unshift(entry)
    }
  }
})

const illInput = ({ offset }: Ill): QueryCommandError =>
  new QueryCommandError({
    message: `cannot read standard input: ${Utf8.problem(offset)}`,
    exitCode: exitCodes.failed
  })

/** Checks bytes as they arrive, and reports the first invalid one. A call without bytes marks their end. */
export const checkUtf8 = (onIll: (offset: number) => void): ((chunk?: Uint8Array) => void) => {
  let tail: Uint8Array = new Uint8Array()
  let before = 0
  let isIll = false
  return (chunk) => {
    if (isIll) return
    const bytes = chunk === undefined ? tail : Buffer.concat([tail, chunk])
    const end = chunk === undefined ? bytes.length : lastStart(bytes)
    const offset = Utf8.firstIll(bytes.subarray(0, end))
    if (offset !== undefined) {
      isIll = true
      onIll(before + offset)
    }
    tail = bytes.subarray(end)
    before += end
  }
}

/** The beginning of the last character, which may continue in the next bytes. */
const lastStart = (bytes: Uint8Array): number => {
  const start = bytes.subarray(-4).findLastIndex((byte) => byte < 0x80 || byte >= 0xc0)
  return start === -1 ? bytes.length : Math.max(0, bytes.length - 4) + start
}
