/**
 * The output of a process or a thread, such as that of native code, as log lines.
 */
import type { Listener } from "./Launcher.ts"

/** The longest line; the rest is cut. */
const maxLine = 1000

/** How many lines are logged per second; further lines are counted. */
const linesPerSecond = 100

/** Logs lines as warnings. The rate is limited, so that endless output does not block the parent. */
export const relay = (output: NodeJS.ReadableStream | null, listener: Pick<Listener, "logged">): void => {
  let unfinished = ""
  let since = 0
  let lines = 0
  const warn = (message: string) => listener.logged({ level: "Warn", message })
  const leave = () => {
    if (lines > linesPerSecond) warn(`${lines - linesPerSecond} more lines of output were left out`)
    lines = 0
  }
  const logged = (line: string) => {
    if (line.trim() === "") return
    const now = performance.now()
    if (now - since >= 1000) {
      leave()
      since = now
    }
    if (++lines <= linesPerSecond) warn(line.slice(0, maxLine))
  }
  output?.setEncoding("utf8").on("data", (text: string) => {
    const lines = (unfinished + text).split("\n")
    unfinished = (lines.pop() ?? "").slice(-maxLine)
    for (const line of lines) logged(line)
  })
  output?.on("end", () => {
    logged(unfinished)
    leave()
  })
}
