/**
 * A program that shows text one screen at a time: `DATACONN_PAGER`, `PAGER`, or less.
 */
import { spawn } from "node:child_process"
import * as NodeSink from "@effect/platform-node/NodeSink"
import * as Effect from "effect/Effect"
import { type PlatformError, systemError } from "effect/PlatformError"
import type * as Scope from "effect/Scope"
import type * as Sink from "effect/Sink"

export interface Pager {
  readonly name: string
  /** Takes the text. Fails with EPIPE once the user has left. */
  readonly sink: Sink.Sink<void, string | Uint8Array, never, PlatformError>
  /**
   * Ends the text, and waits until the user has left. Returns the problem if the program could not be run.
   */
  readonly close: Effect.Effect<string | undefined>
}

/** The command of the pager. */
export const command = (env: Readonly<Record<string, string | undefined>>): string =>
  env["DATACONN_PAGER"] || env["PAGER"] || "less"

/** A shell's exit codes for a program that cannot be run or is not found. */
const notRun: ReadonlySet<number> = new Set([126, 127])

/** Starts the pager on this terminal; closing the scope waits until it has ended. */
export const open: Effect.Effect<Pager, never, Scope.Scope> = Effect.gen(function* () {
  const name = command(process.env)
  const child = yield* Effect.sync(() =>
    spawn("/bin/sh", ["-c", name], {
      stdio: ["pipe", "inherit", "inherit"],
      // Leaves if everything fits on the screen, shows colours, cuts lines and keeps the text on the
      // screen, as in git.
      env: { LESS: "FRSX", ...process.env }
    })
  )
  // The writer gets an error of the pager's input; `close` returns an error of its start.
  child.stdin.on("error", () => {})
  const ended = new Promise<number | null>((resolve) => {
    child.once("error", () => resolve(127))
    child.once("close", resolve)
  })
  const close = Effect.map(
    Effect.promise(() => {
      child.stdin.end()
      return ended
    }),
    (code) => (code !== null && notRun.has(code) ? `it could not be run (exit code ${code})` : undefined)
  )
  yield* Effect.addFinalizer(() => close)
  return {
    name,
    sink: NodeSink.fromWritable({
      evaluate: () => child.stdin,
      onError: (cause) => systemError({ module: "Pager", method: "write", _tag: "Unknown", cause }),
      endOnDone: false
    }),
    close
  }
})
