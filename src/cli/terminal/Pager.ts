/**
 * A program that shows text a screen at a time: `DATACONN_PAGER`, `PAGER`, or less.
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
  /** Ends the text, and waits until the user has left; the problem if the program could not be run. */
  readonly close: Effect.Effect<string | undefined>
}

/** The command of the pager. */
export const command = (env: Readonly<Record<string, string | undefined>>): string =>
  env["DATACONN_PAGER"] || env["PAGER"] || "less"

/** What a shell ends with if it cannot run a program, or does not find it. */
const notRun: ReadonlySet<number> = new Set([126, 127])

/** Starts the pager on this terminal; closing the scope waits until it has ended. */
export const open: Effect.Effect<Pager, never, Scope.Scope> = Effect.gen(function* () {
  const name = command(process.env)
  const child = yield* Effect.sync(() =>
    spawn("/bin/sh", ["-c", name], {
      stdio: ["pipe", "inherit", "inherit"],
      // Leaves if all fits on the screen, shows colours, cuts lines and leaves the text on the screen: as git has it.
      env: { LESS: "FRSX", ...process.env }
    })
  )
  // An error of its input is told to the one who writes; an error of starting it is told by `close`.
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
