/**
 * Standard output without a reader, as with `| head`. Node ignores SIGPIPE, which ends other programs then.
 */
import * as Effect from "effect/Effect"
import { exitCodes } from "./ExitCodes.ts"

/**
 * Whether an error means that there is no reader: an error of a write, or of a wait for room once the
 * stream has closed.
 */
export const isOne = (error: unknown): boolean => {
  const code = (error as NodeJS.ErrnoException | null | undefined)?.code
  return code === "EPIPE" || code === "ERR_STREAM_PREMATURE_CLOSE"
}

/** Ends the process when its output fails, unless a command handles that itself. */
export const endsProcess = (): void => {
  process.stdout.on("error", (error) => {
    if (process.stdout.listenerCount("error") > 1) return
    if (isOne(error)) process.exit(exitCodes.unread)
    process.stderr.write(`dataconn: cannot write to standard output: ${error.message}\n`)
    process.exit(exitCodes.failed)
  })
}

/** Keeps a server running when the reader of its log leaves, or its disk is full. */
export const isSurvived = Effect.acquireRelease(
  Effect.sync(() => {
    const ignore = () => {}
    process.stdout.on("error", ignore)
    return ignore
  }),
  (ignore) => Effect.sync(() => process.stdout.off("error", ignore))
)
