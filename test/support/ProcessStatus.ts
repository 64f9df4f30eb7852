/**
 * What Linux tells of a process from outside: its memory, handles, threads and time.
 */
import { readdirSync, readFileSync } from "node:fs"

export interface ProcessStatus {
  readonly residentBytes: number
  /** The part of it that is not mapped from files: heaps, stacks and buffers. */
  readonly anonymousBytes: number
  /** Open file descriptors: files, sockets, pipes. */
  readonly handles: number
  readonly threads: number
  /** Time spent on all cores since its start, in seconds. */
  readonly cpuSeconds: number
}

/** Whether there is a `/proc` to read. */
export const isAvailable = process.platform === "linux"

const clockTicks = 100

/** Throws if the process is gone. */
export const read = (pid: number): ProcessStatus => {
  const status = readFileSync(`/proc/${pid}/status`, "utf8")
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1])
  // The second field, the program's name in parentheses, may hold blanks.
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
  const times = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .slice(11, 13)
    .map(Number)
  return {
    residentBytes: field("VmRSS") * 1024,
    anonymousBytes: field("RssAnon") * 1024,
    handles: readdirSync(`/proc/${pid}/fd`).length,
    threads: field("Threads"),
    cpuSeconds: ((times[0] ?? 0) + (times[1] ?? 0)) / clockTicks
  }
}
