/**
 * The end of a process that has a stuck thread.
 */
import { isMainThread } from "node:worker_threads"

/** Another program takes the place of this one, where the system can: one that only exits. */
const replace = (code: number): void => {
  try {
    process.execve?.("/bin/sh", ["sh", "-c", `exit ${code}`])
  } catch {
    // Not on this system.
  }
}

/**
 * Ends the process at once with this code, without waiting for what its threads are doing.
 *
 * **Details**
 *
 * `process.exit` joins Node's threads, one of which may be looking up a name that no server answers for, or opening
 * a pipe that nobody reads. So another program takes its place where that can be. What was written to standard output
 * and standard error has been written; handlers of `exit` do not run.
 */
export const now = (code: number): never => {
  replace(code)
  return process.exit(code)
}

/** Node would join the threads next, in vain: all other handlers of `exit` have run, but for those that came later. */
const leave = (code: number): void => {
  replace(code)
  process.kill(process.pid, "SIGKILL")
}

let stuck = 0

/**
 * A thread is stuck: from now on the process does not wait for it when it ends, by `process.exit` or because nothing is
 * left to be done. Its exit code is the same, or that of SIGKILL where the system cannot replace a program. The function
 * takes it back, for a thread that has ended after all. A thread that starts others cannot end the process.
 */
export const withoutWaiting = (): (() => void) => {
  if (!isMainThread) return () => {}
  if (stuck++ === 0) process.on("exit", leave)
  return () => {
    if (--stuck === 0) process.off("exit", leave)
  }
}
