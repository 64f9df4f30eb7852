/**
 * A memory limit of another process, enforced by the kernel.
 */
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { totalmem } from "node:os"
import type { Usage } from "./Exhaustion.ts"

/** The memory that this process may use: the machine's, or its container's. In bytes. */
export const available = (): number => {
  const total = totalmem()
  const constrained = process.constrainedMemory()
  return constrained > 0 && constrained < total ? constrained : total
}

/** The memory of a process; `mapped` counts private writable memory. `NaN` once it has ended. */
const read = (pid: number): Usage => {
  const status = readFileSync(`/proc/${pid}/status`, "utf8")
  const bytes = (pattern: RegExp) => Number(pattern.exec(status)?.[1]) * 1024
  return { mapped: bytes(/^VmData:\s+(\d+) kB$/m), resident: bytes(/^VmRSS:\s+(\d+) kB$/m) }
}

/** The memory of a process, if the system reports it and the process exists. */
export const usageOf = (pid: number): Usage | undefined => {
  try {
    return read(pid)
  } catch {
    return undefined
  }
}

/**
 * Lets a process take so many bytes more than it has now, and disables its core dumps. Returns the
 * reason if that failed.
 *
 * **Details**
 *
 * The limit is `RLIMIT_DATA`, set by the program `prlimit` of util-linux. Unlike `RLIMIT_AS` it does not
 * count the address space that V8 and the C library reserve without ever using it.
 */
export const grant = (pid: number, bytes: number): Promise<string | undefined> =>
  new Promise((resolve) => {
    if (process.platform !== "linux") return resolve(`${process.platform} has no such limit`)
    try {
      const data = bytes === Number.POSITIVE_INFINITY ? "unlimited" : Math.ceil(read(pid).mapped + bytes)
      if (Number.isNaN(data)) return resolve("it has ended")
      execFile("prlimit", [`--pid=${pid}`, `--data=${data}`, "--core=0"], (error) =>
        resolve(error === null ? undefined : error.message.trim())
      )
    } catch (cause) {
      resolve(String(cause))
    }
  })
