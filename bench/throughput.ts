/**
 * DataConn against a strong hand-written server of the same protocol: bulk results, small ones, many clients at
 * once, many small chunks. Repeats are interleaved; figures are medians, ratios are to the baseline of the same
 * run.
 */
import { readFileSync } from "node:fs"
import * as Load from "./support/Load.ts"
import * as Processes from "./support/Processes.ts"
import type { Workload } from "./support/Workload.ts"

export interface Case {
  readonly name: string
  readonly connections: number
  readonly requests: number
  readonly workload: Workload
}

const KiB = 1024
const MiB = 1024 * KiB

export const cases = (scale: number): ReadonlyArray<Case> => {
  const requests = (n: number) => Math.max(1, Math.round(n * scale))
  return [
    bulk("bulk, 64 KiB chunks", requests(8), 64 * KiB),
    bulk("bulk, 1 MiB chunks", requests(8), MiB),
    small("small, 1 connection, ready", 1, requests(20_000), "ready"),
    small("small, 64 connections, ready", 64, requests(2000), "ready"),
    small("small, 64 connections, streamed", 64, requests(2000), "streamed"),
    {
      name: "fan-out, 100 x 100 MB",
      connections: 100,
      requests: 1,
      workload: { total: Math.round(100e6 * scale), chunkSize: 64 * KiB, mode: "ready" }
    },
    {
      name: "chunks of 100 B",
      connections: 1,
      requests: requests(4),
      workload: { total: 50e6, chunkSize: 100, mode: "ready" }
    }
  ]
}

const bulk = (name: string, requests: number, chunkSize: number): Case => ({
  name,
  connections: 1,
  requests,
  workload: { total: 256 * MiB, chunkSize, mode: "ready" }
})

const small = (name: string, connections: number, requests: number, mode: "ready" | "streamed"): Case => ({
  name,
  connections,
  requests,
  workload: { total: 120, chunkSize: 64 * KiB, mode }
})

const median = (numbers: ReadonlyArray<number>): number =>
  [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN

/** CPU seconds that a process has used, user and system. */
const cpuSeconds = (pid: number): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? []
  return (Number(fields[11]) + Number(fields[12])) / 100
}

/** Peak resident memory of a process in MiB. */
const peakMiB = (pid: number): number =>
  Math.round(Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / KiB)

interface Sample {
  readonly seconds: number
  readonly cpu: number
  readonly peak: number
}

const sample = async (server: string, test: Case): Promise<Sample> => {
  const script = Processes.start(server)
  try {
    const port = await script.line("port")
    const pid = script.process.pid ?? 0
    // Code is compiled and buffers are grown by a tenth of the load.
    await Load.run(port, { ...test, requests: Math.max(1, Math.round(test.requests / 10)) })
    const before = cpuSeconds(pid)
    const { seconds } = await Load.run(port, test)
    return { seconds, cpu: cpuSeconds(pid) - before, peak: peakMiB(pid) }
  } finally {
    await script.stop()
  }
}

export const run = async (options: {
  readonly scale: number
  readonly repeats: number
  readonly only?: string
}) => {
  const rows = []
  for (const test of cases(options.scale).filter(({ name }) => name.includes(options.only ?? ""))) {
    const raw: Array<Sample> = []
    const dataconn: Array<Sample> = []
    for (let repeat = 0; repeat < options.repeats; repeat++) {
      raw.push(await sample("RawServer", test))
      dataconn.push(await sample("DataConnServer", test))
    }
    const of = (samples: ReadonlyArray<Sample>, what: keyof Sample) => median(samples.map((one) => one[what]))
    const total = test.connections * test.requests
    rows.push({
      bench: test.name,
      ratio: Number((of(raw, "seconds") / of(dataconn, "seconds")).toFixed(2)),
      cpuRatio: Number((of(dataconn, "cpu") / of(raw, "cpu")).toFixed(2)),
      "MB/s": Math.round((total * test.workload.total) / of(dataconn, "seconds") / 1e6),
      "responses/s": Math.round(total / of(dataconn, "seconds")),
      peakMiB: of(dataconn, "peak"),
      rawPeakMiB: of(raw, "peak")
    })
  }
  console.table(rows)
  return rows
}
