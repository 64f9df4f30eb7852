/**
 * A child's watch over its parent, which works whatever else the child is doing.
 */
import { Worker } from "node:worker_threads"
import * as CLibrary from "./CLibrary.ts"

/** How often a thread checks for the parent where the kernel cannot notify, in milliseconds. */
const intervalMillis = 250

const watch = `setInterval(() => {
  if (process.ppid !== require("node:worker_threads").workerData) process.kill(process.pid, "SIGKILL")
}, ${intervalMillis})`

/**
 * Kills this process when its parent ends. The kernel does it, even to a stopped process; where it cannot, a
 * thread does, even if the event loop is blocked.
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
  // The parent may have ended just before.
  if (process.ppid !== parent) endNow()
}

/** Ends this process at once, whatever its threads are doing. */
export const endNow = (): void => {
  process.kill(process.pid, "SIGKILL")
}
