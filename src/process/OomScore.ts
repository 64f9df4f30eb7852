/**
 * Makes the kernel end children before this process when memory runs out.
 *
 * A process that may not write files (Landlock) can change neither its own score nor a child's, except
 * through a file that it opened before. A child inherits the score of its parent. So the parent takes the
 * children's score while it starts one.
 */
import { openSync, readFileSync, writeSync } from "node:fs"

const path = "/proc/self/oom_score_adj"

/**
 * How much more likely children are to be killed: the difference weighs as much as half of the
 * machine's memory.
 */
const difference = 500
const greatest = 1000

type Starting = <A>(start: () => A) => A

let prepared: Starting | undefined

/**
 * A wrapper for the start of a child. Must first be called while this process may still write. Where there
 * are no scores, children have that of this process.
 */
export const prepare = (): Starting => {
  prepared ??= open()
  return prepared
}

const open = (): Starting => {
  try {
    const own = Number(readFileSync(path, "utf8"))
    // Stays open for the life of the process.
    const file = openSync(path, "w")
    const write = (score: number) => {
      try {
        writeSync(file, String(score), 0)
      } catch {
        // The score is best effort, and no reason not to start a child.
      }
    }
    return (start) => {
      write(Math.min(own + difference, greatest))
      try {
        return start()
      } finally {
        write(own)
      }
    }
  } catch {
    return (start) => start()
  }
}
