/**
 * The `dataconn` command in a process of its own.
 */
import { type ChildProcessByStdio, spawn } from "node:child_process"
import { join } from "node:path"
import type { Readable } from "node:stream"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Address from "../../src/net/Address.ts"
import * as Poll from "./Poll.ts"

export interface Options {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** The program and its first arguments. Default: Node with the bundled command. */
  readonly program?: readonly [command: string, ...args: ReadonlyArray<string>]
  /** Whether a line of its output is kept; called with each of them. Default: all are. */
  readonly keeps?: (line: string) => boolean
  /** Whether it has a process group of its own, which a Ctrl-C at the terminal does not reach. */
  readonly detached?: boolean
}

export interface Dataconn {
  readonly pid: number
  /** The lines of its output that were kept so far. */
  readonly lines: () => ReadonlyArray<string>
  readonly stderr: () => string
  /** The first line of its output that matches; waits for it. */
  readonly line: (pattern: RegExp) => Effect.Effect<string>
  /** Nobody reads its output from now on. */
  readonly closeOutput: Effect.Effect<void>
  /** Its output is not read until it is resumed. */
  readonly pauseOutput: Effect.Effect<void>
  readonly resumeOutput: Effect.Effect<void>
  readonly kill: (signal: NodeJS.Signals) => Effect.Effect<void>
  readonly running: () => boolean
  /** Waits until it has ended; its exit code, or the signal that killed it. */
  readonly exit: Effect.Effect<number | NodeJS.Signals>
  /** Where it listens, once it has started; the port is the one that the system chose. */
  readonly address: Effect.Effect<Address.Address>
}

/** The default of the command: DuckDB in processes of its own. */
export const isolated = { env: { DATACONN_ISOLATE: "process" } } as const

const root = new URL("../../", import.meta.url).pathname

// Settings of whoever runs the tests are not the tests'.
const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(DATACONN_|NODE_OPTIONS|FORCE_COLOR)/.test(name))
)

/** Node with the command as it is bundled before the tests; the command's own arguments follow. */
export const program = [process.execPath, join(root, ".cache/command/bin.js")] as const

/** Node with the modules of the command, for what is preloaded and shares them, or DuckDB's. */
export const source = [process.execPath, join(root, "src/bin.ts")] as const

/** Starts the command; it is killed with the scope. */
export const run = (
  args: ReadonlyArray<string>,
  options: Options = {}
): Effect.Effect<Dataconn, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const [command, ...first] = options.program ?? program
        return spawn(command, [...first, ...args], {
          cwd: options.cwd,
          // Tests may run as root, as in containers.
          env: {
            ...environment,
            NO_COLOR: "1",
            DATACONN_ALLOW_ROOT: "true",
            // A server without processes of its own starts twice as fast; tests that look at these ask for them.
            DATACONN_ISOLATE: "none",
            ...options.env
          },
          detached: options.detached ?? false,
          stdio: ["ignore", "pipe", "pipe"]
        })
      }),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    ),
    (child) => observe(child, options.keeps ?? (() => true))
  )

const observe = (
  child: ChildProcessByStdio<null, Readable, Readable>,
  keeps: (line: string) => boolean
): Dataconn => {
  const kept: Array<string> = []
  let unfinished = ""
  let stderr = ""
  let ended: number | NodeJS.Signals | undefined
  child.stdout.setEncoding("utf8").on("data", (text) => {
    const lines = (unfinished + text).split("\n")
    unfinished = lines.pop() ?? ""
    for (const line of lines) if (keeps(line)) kept.push(line)
  })
  child.stderr.setEncoding("utf8").on("data", (text) => {
    stderr += text
  })
  child.once("close", (code, signal) => {
    ended = signal ?? code ?? 0
  })
  const line = (pattern: RegExp): Effect.Effect<string> =>
    Poll.until(`a line ${pattern}`, () => {
      if (kept.some((line) => pattern.test(line))) return true
      if (ended !== undefined)
        throw new Error(`ended (${ended}) without a line ${pattern}: ${kept.join("\n")}\n${stderr}`)
      return false
    }).pipe(Effect.map(() => kept.find((line) => pattern.test(line)) ?? ""))
  return {
    pid: child.pid ?? 0,
    lines: () => kept,
    stderr: () => stderr,
    line,
    closeOutput: Effect.sync(() => void child.stdout.destroy()),
    pauseOutput: Effect.sync(() => void child.stdout.pause()),
    resumeOutput: Effect.sync(() => void child.stdout.resume()),
    kill: (signal) => Effect.sync(() => void child.kill(signal)),
    running: () => ended === undefined,
    exit: Effect.map(
      Poll.until("the command ends", () => ended !== undefined),
      () => ended ?? 0
    ),
    address: Effect.gen(function* () {
      const opening = yield* line(/Opening DataConn socket on /)
      yield* line(/Started \(/)
      const text = /Opening DataConn socket on (\S+?)\.\.\./.exec(opening)?.[1] ?? ""
      return yield* Effect.orDie(Effect.fromResult(Address.parse(text)))
    })
  }
}

/** Starts `dataconn serve` on a port of the system's choice. */
export const serve = (args: ReadonlyArray<string> = [], options?: Options) =>
  run(["serve", "--listen", "127.0.0.1:0", ...args], options)

const tiny = ["--table", `t=${join(root, "test/support/tiny.csv")}`]

/** The same with one row in place of the sample, which takes a third of a server's start to make. */
export const serveTiny = (args: ReadonlyArray<string> = [], options?: Options) =>
  serve([...tiny, ...args], options)
