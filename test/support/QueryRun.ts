/**
 * `dataconn query` in the process of the test.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { systemError } from "effect/PlatformError"
import * as Runtime from "effect/Runtime"
import * as Sink from "effect/Sink"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as TestConsole from "effect/testing/TestConsole"
import type * as PingCommand from "../../src/cli/PingCommand.ts"
import * as QueryCommand from "../../src/cli/QueryCommand.ts"

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export interface Terminal {
  readonly stdin?: string
  /** Whether standard output is a terminal. */
  readonly isTerminal?: boolean
  /** What standard output does with a chunk; the test keeps them unless told otherwise. */
  readonly onChunk?: (text: string) => Effect.Effect<void, ReturnType<typeof brokenPipe>>
}

export const brokenPipe = () =>
  systemError({
    module: "Stdio",
    method: "stdout",
    _tag: "Unknown",
    cause: Object.assign(new Error("write EPIPE"), { code: "EPIPE" })
  })

/** Runs the command, or another one, and gives what it wrote (`logged`: by lines, such as help) and its exit. */
export const run = Effect.fnUntraced(function* (
  args: ReadonlyArray<string>,
  terminal: Terminal = {},
  command: typeof QueryCommand.command | typeof PingCommand.command = QueryCommand.command
) {
  let stdout = ""
  const stdio = Stdio.layerTest({
    stdin: Stream.succeed(encoder.encode(terminal.stdin ?? "")),
    stdoutIsTerminal: Effect.succeed(terminal.isTerminal ?? false),
    stdout: () =>
      Sink.forEach(
        Effect.fnUntraced(function* (chunk: string | Uint8Array) {
          const text = typeof chunk === "string" ? chunk : decoder.decode(chunk)
          stdout += text
          if (terminal.onChunk !== undefined) yield* terminal.onChunk(text)
        })
      )
  })
  return yield* Effect.gen(function* () {
    const exit = yield* Effect.exit(
      Command.runWith(command as typeof QueryCommand.command, { version: "0" })(args)
    )
    return {
      exit,
      stdout,
      logged: (yield* TestConsole.logLines).map((line) => `${line}\n`).join(""),
      stderr: (yield* TestConsole.errorLines).join("\n"),
      code: exitCode(exit)
    }
  }).pipe(Effect.provide(Layer.mergeAll(Layer.provideMerge(stdio, NodeServices.layer), TestConsole.layer)))
})

/** What the process ends with, as `Runtime.defaultTeardown` has it. */
export const exitCode = (exit: Exit.Exit<unknown, unknown>): number => {
  let code = -1
  Runtime.defaultTeardown(exit, (given) => {
    code = given
  })
  return code
}
