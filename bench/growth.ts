/**
 * What grows with what: the cost of a query with the number of connections, of a byte with the size of the
 * result, and of a request with its own size.
 */
import * as Compare from "./support/Compare.ts"
import * as Contenders from "./support/Contenders.ts"
import { type Row, round } from "./support/Figures.ts"
import type { Options } from "./support/Options.ts"
import * as Workload from "./support/Workload.ts"

interface Growth extends Compare.Case {
  /** What is moved in all, in bytes, where the cost is one of bytes. */
  readonly bytes?: number
}

const KiB = 1024
const chunkSize = 64 * KiB
const smallWorkload = { total: 120, chunkSize, mode: "ready" } as const
/** The largest frame that a server takes unless it is told otherwise, without its header. */
const largestRequest = KiB * KiB - 5

const byConnections =
  (leastQueries: number, leastRequests: number) =>
  (connections: number): Growth => ({
    name: `${connections} connection${connections === 1 ? "" : "s"}`,
    connections,
    requests: Math.max(leastRequests, Math.ceil(leastQueries / connections)),
    workload: smallWorkload
  })

/** On one connection, in as many requests as `limit` bytes make, within reason. */
const sized = (size: number, limit: number) => {
  const requests = Math.max(1, Math.min(20_000, Math.round(limit / size)))
  return { connections: 1, requests, bytes: requests * size }
}

const byResult =
  (limit: number) =>
  ([name, total]: readonly [string, number]): Growth => ({
    name: `result of ${name}`,
    ...sized(total, limit),
    workload: { total, chunkSize, mode: "ready" }
  })

const byRequest =
  (limit: number) =>
  ([name, size]: readonly [string, number]): Growth => ({
    name: `request of ${name}`,
    ...sized(size, limit),
    padding: size - Workload.format(smallWorkload).length,
    workload: smallWorkload
  })

const results = [
  ["1 KB", 1e3],
  ["1 MB", 1e6],
  ["100 MB", 100e6],
  ["10 GB", 10e9]
] as const
const requests = [
  ["1 KiB", KiB],
  ["64 KiB", 64 * KiB],
  ["1 MiB", largestRequest]
] as const

const cases = (quick: boolean): ReadonlyArray<Growth> =>
  quick
    ? [
        ...[1000].map(byConnections(2000, 2)),
        ...results.slice(1, 2).map(byResult(10e6)),
        ...requests.slice(2).map(byRequest(10e6))
      ]
    : [
        // Enough on each connection for what it costs to open one not to be seen.
        ...[1, 10, 100, 1000].map(byConnections(50_000, 200)),
        ...results.map(byResult(4e9)),
        ...requests.map(byRequest(1e9))
      ]

export const run = async (options: Options): Promise<ReadonlyArray<Row>> => {
  const { quick } = options
  const rows: Array<Row> = []
  for (const growth of cases(quick)) {
    const queries = growth.connections * growth.requests
    for (const measured of await Compare.measure(growth, Contenders.onNode(), options)) {
      rows.push(
        Compare.row(measured, {
          "queries/s": round(queries / measured.seconds),
          "CPU µs/query": round((measured.cpu / queries) * 1e6),
          "CPU ns/KB": growth.bytes === undefined ? null : round((measured.cpu / (growth.bytes / 1e3)) * 1e9)
        })
      )
    }
  }
  return rows
}
