/**
 * Standard output that nobody reads any more, as with `| head`. Node ignores SIGPIPE, by which other programs end then.
 */
import * as Effect from "effect/Effect"
import { exitCodes } from "./ExitCodes.ts"

/** Whether an error says that nobody reads: of a write, or of waiting for room once the stream has closed. */
export const isOne = (error: unknown): boolean => {
  const code = (error as NodeJS.ErrnoException | null | undefined)?.code
  return code === "EPIPE" || code === "ERR_STREAM_PREMATURE_CLOSE"
}

/** Ends the process when its output fails, unless a command sees to that itself. */
export const endsProcess = (): void => {
  process.stdout.on("error", (error) => {
    if (process.stdout.listenerCount("error") > 1) return
    if (isOne(error)) process.exit(exitCodes.unread)
    process.stderr.write(`dataconn: cannot write to standard output: ${error.message}\n`)
    process.exit(exitCodes.failed)
  })
}

/** Whoever reads the log of a server may leave, or its disk be full: that is no reason to stop serving. */
export const isSurvived = Effect.acquireRelease(
  Effect.sync(() => {
    const ignore = () => {}
    process.stdout.on("error", ignore)
    return ignore
  }),
  (ignore) => Effect.sync(() => process.stdout.off("error", ignore))
)
