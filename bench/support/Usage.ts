/**
 * What a process has used, as Linux tells it.
 */
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"

const ticksPerSecond = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }))

/** CPU seconds, user and system, of all its threads. */
export const cpuSeconds = (pid: number): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? []
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}

const status = (pid: number, field: string): number =>
  Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1])

/** Resident memory in KiB. */
export const residentKiB = (pid: number): number => status(pid, "VmRSS")

/** The most resident memory that it ever had, in MiB. */
export const peakMiB = (pid: number): number => status(pid, "VmHWM") / 1024
