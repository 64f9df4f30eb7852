/**
 * Child processes of a bench: each runs one program and reports in lines on its standard output.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

/** A program with its arguments. */
export type Command = readonly [program: string, ...args: ReadonlyArray<string>]

export interface Process {
  readonly pid: number
  /** The next line it prints that begins with this word, without the word. */
  readonly line: (word: string) => Promise<string>
  /** What the pattern captures of the next line that matches. */
  readonly match: (pattern: RegExp) => Promise<string>
  /** All that it prints until it ends. Fails unless it ends well. */
  readonly output: () => Promise<string>
  readonly signal: (signal: NodeJS.Signals) => void
  readonly stop: () => Promise<void>
}

const relative = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

let compiled = false

/**
 * Compiles the programs under bench/, once in a run: that is how a package is used, and to strip types when a
 * process starts would cost it 24 MiB.
 */
const compile = (): void => {
  if (!compiled) execFileSync(process.execPath, [relative(tsc), "-p", relative("../tsconfig.json")])
  compiled = true
}
const tsc = "../../node_modules/typescript/bin/tsc"

/** A script under bench/, run by the Node that runs this one. */
export const script = (path: string, nodeFlags: ReadonlyArray<string> = []): Command => {
  compile()
  return [process.execPath, ...nodeFlags, relative(`../dist/bench/${path}.js`)]
}

const running = new Set<ChildProcess>()
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL")
})

/** Starts a program. What it says on its standard error is shown if it fails. */
export const start = (command: Command, ...more: ReadonlyArray<string>): Process => {
  const [program, ...args] = command
  const name = [program, ...args].at(-1)?.split("/").at(-1)
  const child = spawn(program, [...args, ...more], { stdio: ["ignore", "pipe", "pipe"] })
  running.add(child)
  const exited = once(child, "close").finally(() => running.delete(child))
  exited.catch(() => {})
  let errors = ""
  child.stderr.on("data", (data) => {
    errors = `${errors}${data}`.slice(-4000)
  })
  const failed = (how: string) => new Error(`${name} ${how}\n${errors}`)
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const match = async (pattern: RegExp) => {
    for (;;) {
      const { done, value } = await lines.next()
      if (done === true) {
        await exited
        throw failed(`ended before it printed ${pattern}`)
      }
      const found = pattern.exec(value)
      if (found !== null) return found[1] ?? ""
    }
  }
  return {
    pid: child.pid ?? 0,
    match,
    line: (word) => match(new RegExp(`^${word}(?: (.*))?$`)),
    output: async () => {
      let text = ""
      for (let next = await lines.next(); next.done !== true; next = await lines.next()) {
        text += `${next.value}\n`
      }
      const [code] = await exited
      if (code !== 0) throw failed(`ended with ${code}`)
      return text
    },
    signal: (signal) => {
      child.kill(signal)
    },
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL")
      await exited
    }
  }
}

/** Starts a program, and stops it once `use` is done with it. */
export const using = async <A>(
  command: Command,
  args: ReadonlyArray<string>,
  use: (process: Process) => Promise<A>
): Promise<A> => {
  const started = start(command, ...args)
  try {
    return await use(started)
  } finally {
    await started.stop()
  }
}
