/**
 * Child processes of a bench: each runs one script and reports in lines on its standard output.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

export interface Script {
  readonly process: ChildProcess
  /** The next line it prints that begins with this word, without the word. */
  readonly line: (word: string) => Promise<string>
  readonly stop: () => Promise<void>
}

/** Starts a script of this folder. Its errors are the bench's own. */
export const start = (name: string, ...args: ReadonlyArray<string>): Script => {
  const path = fileURLToPath(new URL(`./${name}.ts`, import.meta.url))
  const child = spawn(process.execPath, [path, ...args], { stdio: ["ignore", "pipe", "inherit"] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    process: child,
    line: async (word) => {
      for (;;) {
        const { done, value } = await lines.next()
        if (done === true) throw new Error(`${name} ended before it said "${word}"`)
        if (value.startsWith(`${word} `)) return value.slice(word.length + 1)
      }
    },
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exited = once(child, "exit")
      child.kill("SIGKILL")
      await exited
    }
  }
}
