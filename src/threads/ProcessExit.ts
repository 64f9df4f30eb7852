/**
 * The end of a process that has a stuck thread.
 */
import { isMainThread } from "node:worker_threads"

/** Replaces this process by a program that only exits, if the system can. */
const replace = (code: number): void => {
  try {
    process.execve?.("/bin/sh", ["sh", "-c", `exit ${code}`])
  } catch {
    // Not available on this system.
  }
}

/**
 * Ends the process at once with this code, without waiting for what its threads are doing.
 *
 * **Details**
 *
 * `process.exit` joins Node's threads, one of which may be looking up a name on a server that does not
 * answer, or opening a pipe that has no reader. So another program replaces this process where possible.
 * Everything written to standard output and standard error before is out; handlers of `exit` do not run.
 */
export const now = (code: number): never => {
  replace(code)
  return process.exit(code)
}

/**
 * Node would next join the threads, in vain. All other handlers of `exit` have run, except those added later.
 */
const leave = (code: number): void => {
  replace(code)
  process.kill(process.pid, "SIGKILL")
}

let stuck = 0

/**
 * Declares a thread stuck: from now on the process does not wait for it when it ends, by `process.exit` or
 * for lack of work. The exit code stays the same, or is that of SIGKILL where the system cannot replace a
 * program. The returned function revokes this, for a thread that has ended after all. In a worker thread
 * this does nothing.
 */
export const withoutWaiting = (): (() => void) => {
  if (!isMainThread) return () => {}
  if (stuck++ === 0) process.on("exit", leave)
  return () => {
    if (--stuck === 0) process.off("exit", leave)
  }
}
