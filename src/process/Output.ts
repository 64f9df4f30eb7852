/**
 * What a process or a thread prints, such as native code does: lines of the log.
 */
import type { Listener } from "./Launcher.ts"

/** The longest line that is taken. */
const maxLine = 1000

/** So many lines are logged in each second; those beyond are counted. */
const linesPerSecond = 100

/** Has lines logged as warnings: who prints without end must not keep the parent from all else. */
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
