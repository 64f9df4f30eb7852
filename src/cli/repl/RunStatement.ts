/**
 * Runs one statement of a repl, and prints its outcome.
 */
import * as ByteSize from "effect/ByteSize"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type * as Stream from "effect/Stream"
import type { Parameters } from "../../engine/QueryApi.ts"
import * as EngineProgress from "../EngineProgress.ts"
import * as Execution from "../Execution.ts"
import * as Formats from "../Formats.ts"
import * as QueryOutput from "../QueryOutput.ts"
import * as QueryReport from "../QueryReport.ts"
import * as Stopwatch from "../Stopwatch.ts"
import * as ProgressLine from "../terminal/ProgressLine.ts"
import * as Screen from "../terminal/Screen.ts"
import * as Summary from "../terminal/Summary.ts"
import type { Output, Session } from "./Session.ts"

const impliedBy = ({ output }: Session): Formats.Shown | undefined =>
  output === undefined ? undefined : Formats.ofFile(output.file)

/** The format of results: the chosen one, that of the file's name, or the default of the output. */
const shownBy = (session: Session, screen: Screen.Screen): Formats.Shown => {
  const { format, layout, output } = session
  const implied = impliedBy(session)
  const place = output === undefined && !screen.stdoutIsTerminal ? Formats.short.json : Formats.short.table
  const shown = implied ?? format ?? place
  return shown === "table" && layout === "vertical" ? "vertical" : shown
}

const viewOf = (session: Session, screen: Screen.Screen): Execution.View => {
  const toScreen = session.output === undefined && screen.stdoutIsTerminal
  return {
    shown: shownBy(session, screen),
    isChosen: session.format !== undefined || impliedBy(session) !== undefined,
    columns: toScreen && session.layout !== "table" ? screen.columns : undefined,
    isTerminal: toScreen,
    style: toScreen ? screen.style : Screen.plain,
    crlf: session.crlf,
    header: session.header,
    maxRows: session.maxRows
  }
}

/** Statements that may change the tables. */
const changesNames = /^\s*(?:create|drop|alter|attach|detach|use|rename)\b/i

/**
 * Appends a result to a file. The first replaces the file once it is complete; an incomplete one
 * is removed again.
 */
const toFile = Effect.fnUntraced(function* (
  written: Stream.Stream<Execution.Written, QueryReport.Failure>,
  output: Output,
  shown: Formats.Shown
) {
  const { file } = output
  if (output.results === 0) {
    yield* QueryOutput.toFile(written, file, { onWrite: () => Effect.void })
  } else if (!Formats.holdsSeveral(shown, true)) {
    return yield* new QueryOutput.OutputError({
      target: file,
      detail: `it holds a result, and ${Formats.nameOf(shown)} holds one; name another file with \\o`
    })
  } else {
    yield* append(written, file)
  }
  output.results++
})

const append = Effect.fnUntraced(function* (
  written: Stream.Stream<Execution.Written, QueryReport.Failure>,
  file: string
) {
  const fs = yield* FileSystem.FileSystem
  const failed = QueryOutput.failedAt(file)
  const { size } = yield* failed(fs.stat(file))
  yield* Effect.scoped(
    Effect.flatMap(failed(fs.open(file, { flag: "a" })), (opened) =>
      QueryOutput.writeAll(written, opened, failed)
    )
  ).pipe(Effect.onError(() => Effect.ignore(fs.truncate(file, Number(ByteSize.toBigInt(size))))))
})

interface Run {
  readonly session: Session
  readonly screen: Screen.Screen
  readonly view: Execution.View
  readonly progress: Execution.Progress
  readonly isWatched: boolean
  readonly parameters: Parameters
  readonly text: string
}

const write = Effect.fnUntraced(function* (
  { screen, session, view }: Run,
  written: Stream.Stream<Execution.Written, QueryReport.Failure>,
  onWrite: (written: Execution.Written) => Effect.Effect<void>
) {
  if (session.output !== undefined) return yield* toFile(written, session.output, view.shown)
  if (Formats.isBinary(view.shown) && screen.stdoutIsTerminal) {
    return yield* new QueryOutput.OutputError({
      target: "the terminal",
      detail: `${Formats.nameOf(view.shown)} is binary; name a file with \\o`
    })
  }
  yield* session.pager && screen.stdoutIsTerminal
    ? QueryOutput.toPager(written, { onWrite })
    : QueryOutput.toStdout(written, { onWrite })
})

/** Reconnects, once, if the connection had closed before the query was sent. */
const open = ({ isWatched, parameters, progress, session, text, view }: Run) => {
  const request = { query: text, parameters, timeoutMs: undefined, isWatched }
  const once = Effect.flatMap(session.connection.client, (client) =>
    Execution.open(client, request, view, progress)
  )
  return Effect.catchIf(
    once,
    (error) => error._tag === "ClientError" && error.reason._tag === "ConnectionClosed",
    () => once
  )
}

/**
 * Runs a statement and shows its result. Fails with a message if the result is incomplete. Interruption
 * cancels it on the wire.
 */
export const run = Effect.fnUntraced(function* (session: Session, text: string) {
  const screen = yield* Screen.look
  const view = viewOf(session, screen)
  const progress = new Execution.Progress(yield* Stopwatch.start)
  const isWatched = session.isInteractive && screen.canAnimate
  const line = isWatched ? yield* ProgressLine.show(progress, screen.columns) : ProgressLine.none
  if (isWatched) yield* EngineProgress.watch(session.connection.server(), progress)
  let incomplete = false
  let endsLine = true
  const onWrite = (written: Execution.Written) => {
    incomplete = true
    endsLine = session.pager || !screen.stdoutIsTerminal || QueryOutput.endsLine(written)
    return session.output === undefined ? line.clear : Effect.void
  }
  const { parameters } = session
  session.parameters = []
  const statement = { session, screen, view, progress, isWatched, parameters, text }
  const running = Effect.flatMap(open(statement), (written) => write(statement, written, onWrite))
  session.last = text
  yield* running.pipe(
    Effect.mapError((error) =>
      QueryReport.report(error, {
        text,
        statement: { text, offset: 0 },
        columns: screen.columns,
        incomplete,
        endsLine
      })
    ),
    Effect.onInterrupt(() =>
      Effect.andThen(
        line.clear,
        Effect.suspend(() =>
          Console.error(
            `${ProgressLine.start({ endsLine, canAnimate: screen.canAnimate })}Cancelled.${incomplete ? ` ${QueryReport.incompleteNote}` : ""}`
          )
        )
      )
    )
  )
  yield* line.clear
  if (changesNames.test(text)) session.forgetNames()
  const said = Summary.make(progress, { rows: session.isInteractive, timing: session.timing })()
  if (said !== "") yield* Console.error(said)
}, Effect.scoped)
