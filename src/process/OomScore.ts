/**
 * Has the kernel end children before this process where memory is out.
 *
 * A process that may write nothing (Landlock) cannot change its score or a child's any more, but for a file that it
 * opened before. A child begins with the score of its parent: so the parent has the children's score for the moment
 * in which it starts one.
 */
import { openSync, readFileSync, writeSync } from "node:fs"

const path = "/proc/self/oom_score_adj"

/** By how much children are more eager to go: half of the memory of the machine counts for as much. */
const difference = 500
const greatest = 1000

type Starting = <A>(start: () => A) => A

let prepared: Starting | undefined

/**
 * What a child is started with. To be called for the first time while this process may write. Where there are no
 * scores, children have that of this process.
 */
export const prepare = (): Starting => {
  prepared ??= open()
  return prepared
}

const open = (): Starting => {
  try {
    const own = Number(readFileSync(path, "utf8"))
    // Open for as long as the process lives.
    const file = openSync(path, "w")
    const write = (score: number) => {
      try {
        writeSync(file, String(score), 0)
      } catch {
        // It is a wish, and no reason to start no child.
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
