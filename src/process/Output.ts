/**
 * What a process or a thread prints, such as native code does: lines of the log.
 */
import type { Listener } from "./Launcher.ts"

/** The longest line that is taken. */
const maxLine = 1000

/** Has each line logged as a warning. */
export const relay = (output: NodeJS.ReadableStream | null, listener: Listener): void => {
  let unfinished = ""
  const logged = (line: string) => {
    if (line.trim() !== "") listener.logged({ level: "Warn", message: line.slice(0, maxLine) })
  }
  output?.setEncoding("utf8").on("data", (text: string) => {
    const lines = (unfinished + text).split("\n")
    unfinished = (lines.pop() ?? "").slice(-maxLine)
    for (const line of lines) logged(line)
  })
  output?.on("end", () => logged(unfinished))
}
