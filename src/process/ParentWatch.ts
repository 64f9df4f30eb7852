/**
 * A child's watch over its parent, which holds whatever else the child is doing.
 */
import { Worker } from "node:worker_threads"
import * as CLibrary from "./CLibrary.ts"

/** How often a thread looks for the parent where the kernel cannot be asked to, in milliseconds. */
const intervalMillis = 250

const watch = `setInterval(() => {
  if (process.ppid !== require("node:worker_threads").workerData) process.kill(process.pid, "SIGKILL")
}, ${intervalMillis})`

/**
 * Has this process killed when its parent ends. The kernel does it, even to a process that is stopped; where it
 * cannot, a thread does, even if the event loop is blocked.
 */
export const endWithParent = (): void => {
  const parent = process.ppid
  if (!CLibrary.dieWithParent()) {
    new Worker(watch, {
      eval: true,
      workerData: parent,
      resourceLimits: { maxOldGenerationSizeMb: 8 }
    }).unref()
  }
  // It may have ended just before.
  if (process.ppid !== parent) endNow()
}

/** Ends this process at once, whatever its threads are doing. */
export const endNow = (): void => {
  process.kill(process.pid, "SIGKILL")
}
