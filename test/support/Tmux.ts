/**
 * A real terminal: keys are typed into a window of tmux, and its screen is read.
 *
 * tmux has to be installed, and less and bash, as .ci/run does it. Where one is not, tests say so and are left out,
 * unless `DATACONN_TEST_TERMINAL=required`.
 */
import { execFile, spawnSync } from "node:child_process"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Folder from "./Folder.ts"
import * as Poll from "./Poll.ts"

const missing = ["tmux -V", "less --version", "bash --version"].filter((command) => {
  const [program = "", flag = ""] = command.split(" ")
  return spawnSync(program, [flag]).status !== 0
})

/** Whether there is a terminal to test in. */
export const isThere: boolean = process.env["DATACONN_TEST_TERMINAL"] === "required" || missing.length === 0
if (!isThere) console.warn(`Left out are the tests in a real terminal, for lack of: ${missing.join(", ")}`)

export interface Options {
  readonly columns?: number
  readonly rows?: number
  readonly env?: Readonly<Record<string, string>>
  /** The program that runs in it. Default: `sh`, with `$ ` for a prompt. */
  readonly shell?: ReadonlyArray<string>
}

export interface Window {
  /** Types a text, and then the Enter key. */
  readonly enter: (text: string) => Effect.Effect<void>
  /** Types a text. */
  readonly type: (text: string) => Effect.Effect<void>
  /** Presses keys by tmux's names, such as `Tab` or `C-c`. */
  readonly press: (...keys: ReadonlyArray<string>) => Effect.Effect<void>
  /** The screen as text, without blanks at its end. `styled` has the escapes for colours too. */
  readonly screen: (styled?: boolean) => Effect.Effect<string>
  /** Waits until the screen matches; the screen then. */
  readonly shows: (pattern: RegExp) => Effect.Effect<string>
  /** Has the program take what it has shown off the screen (Ctrl-L), but for its prompt. */
  readonly clear: Effect.Effect<void>
}

/** Opens windows of one server of tmux, which ends with the scope. */
export interface Tmux {
  readonly open: (options?: Options) => Effect.Effect<Window, never, Scope.Scope>
}

/** Starts the server of tmux. */
export const make: Effect.Effect<Tmux, never, Scope.Scope> = Effect.gen(function* () {
  const folder = yield* Folder.make
  const call = (...args: ReadonlyArray<string>) =>
    Effect.callback<string>((resume) => {
      const all = ["-S", join(folder, "tmux"), "-f", "/dev/null", "-u", ...args]
      execFile("tmux", all, { encoding: "utf8" }, (error, stdout) =>
        resume(error === null ? Effect.succeed(stdout) : Effect.die(error))
      )
    })
  let opened = 0
  yield* Effect.addFinalizer(() => (opened === 0 ? Effect.void : Effect.exit(call("kill-server"))))
  return {
    open: Effect.fnUntraced(function* ({ columns = 80, env = {}, rows = 40, shell = ["sh"] }: Options = {}) {
      const name = `window-${opened++}`
      const variables = Object.entries({ PS1: "$ ", HOME: folder, TERM: "screen", LC_ALL: "C.UTF-8", ...env })
      const set = [
        "env",
        "-u",
        "NO_COLOR",
        "-u",
        "ENV",
        ...variables.map(([name, value]) => `${name}=${value}`)
      ]
      const size = ["-x", String(columns), "-y", String(rows)]
      // Without a window it would end, and the next one might still find it.
      const stay = [";", "set-option", "-s", "exit-empty", "off"]
      yield* Effect.acquireRelease(
        call("new-session", "-d", "-s", name, ...size, "--", ...set, ...shell, ...stay),
        () => Effect.exit(call("kill-session", "-t", name))
      )
      return window(call, name)
    })
  } satisfies Tmux
})

/** A text as an argument of send-keys: a semicolon at its end would separate commands. */
const literal = (text: string): string => text.replace(/;$/, "\\;")

const window = (call: (...args: ReadonlyArray<string>) => Effect.Effect<string>, name: string): Window => {
  const press = (...keys: ReadonlyArray<string>) => Effect.asVoid(call("send-keys", "-t", name, ...keys))
  const type = (text: string) => Effect.asVoid(call("send-keys", "-t", name, "-l", "--", literal(text)))
  const screen = (styled = false) =>
    Effect.map(call("capture-pane", "-p", "-t", name, ...(styled ? ["-e"] : [])), (text) => text.trimEnd())
  return {
    press,
    type,
    screen,
    enter: (text) => Effect.andThen(type(text), press("Enter")),
    shows: Effect.fnUntraced(function* (pattern) {
      let last = ""
      const wait = Poll.untilEffect(
        () => `the screen shows ${pattern}; it shows:\n${last}`,
        Effect.map(screen(), (text) => {
          last = text
          return pattern.test(text)
        })
      )
      yield* wait
      return last
    }),
    clear: press("C-l")
  }
}
