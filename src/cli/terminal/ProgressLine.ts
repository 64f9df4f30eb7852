/**
 * A progress line on standard error while a user waits for a query.
 */
import * as Effect from "effect/Effect"
import type { PlatformError } from "effect/PlatformError"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import type { Progress } from "../Execution.ts"
import * as Stopwatch from "../Stopwatch.ts"
import * as Width from "./Width.ts"

/** Shorter queries have no progress line. */
const patience = "500 millis"
const interval = "250 millis"

/** Moves to the first column, and clears the line. */
const clearLine = "\r\u001b[K"

/** Moves a message to its own line: a terminal shows `^C` where Ctrl-C was pressed. */
export const start = (at: { readonly endsLine: boolean; readonly canAnimate: boolean }): string => {
  if (!at.endsLine) return "\n"
  return at.canAnimate ? clearLine : ""
}

/** An engine may finish everything that it counts, and still continue. */
const percent = (fraction: number): number => Math.min(Math.floor(fraction * 100), 99)

/** The text of the line. */
export const text = ({ acceptedAfter, bytes, firstByteAfter, fraction, table, time }: Progress): string => {
  const elapsed = time()
  if (acceptedAfter === undefined) return `waiting for the server, ${Stopwatch.text(elapsed)}`
  const engine = fraction === undefined ? "" : `${percent(fraction)} %, `
  if (firstByteAfter === undefined) return `the query runs, ${engine}${Stopwatch.text(elapsed)}`
  const rate = (count: number) => count / Math.max((elapsed - firstByteAfter) / 1000, 0.001)
  const rows = table === undefined ? "" : `${table.rows} rows, `
  return (
    `${engine}${rows}${Stopwatch.bytes(bytes)}, ${Stopwatch.bytes(rate(bytes))}/s, ` +
    `first byte after ${Stopwatch.text(firstByteAfter)}, ${Stopwatch.text(elapsed)}`
  )
}

export interface ProgressLine {
  /** Removes the line permanently. */
  readonly clear: Effect.Effect<void>
}

/** A line that shows nothing. */
export const none: ProgressLine = { clear: Effect.void }

/** Shows the line, cut to the columns of the terminal, until the scope is closed. */
export const show = Effect.fnUntraced(function* (progress: Progress, columns: number) {
  const stdio = yield* Stdio.Stdio
  let isShown = false
  let isOver = false
  const write = (line: string): Effect.Effect<void, PlatformError> =>
    Stream.run(Stream.succeed(line), stdio.stderr())
  const clear: Effect.Effect<void> = Effect.suspend(() => {
    isOver = true
    if (!isShown) return Effect.void
    isShown = false
    return Effect.ignore(write(clearLine))
  })
  const draw = Effect.suspend(() => {
    if (isOver) return Effect.void
    isShown = true
    return Effect.ignore(write(`${clearLine}${Width.cut(text(progress), columns - 1)}`))
  })
  yield* Effect.addFinalizer(() => clear)
  yield* Effect.forkScoped(
    Effect.andThen(Effect.sleep(patience), Effect.forever(Effect.andThen(draw, Effect.sleep(interval))))
  )
  return { clear } satisfies ProgressLine
})
