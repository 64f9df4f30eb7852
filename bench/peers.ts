/**
 * DataConn beside others that stream results between services. Each server has a client of its own kind on
 * Node; the baseline is the hand-written server with a hand-written client.
 */
import * as Compare from "./support/Compare.ts"
import * as Contenders from "./support/Contenders.ts"
import { type Row, round } from "./support/Figures.ts"
import type { Options } from "./support/Options.ts"
import * as Processes from "./support/Processes.ts"

const peer = (name: string, kind: string): Compare.Contender => ({
  name,
  server: Processes.script(`servers/${kind}Server`),
  client: Processes.script(`clients/${kind}Client`)
})

const all: ReadonlyArray<Compare.Contender> = [
  { name: "raw", server: Contenders.raw, client: Processes.script("clients/NodeClient") },
  {
    name: "DataConn, raw's client",
    server: Contenders.dataConn,
    client: Processes.script("clients/NodeClient")
  },
  peer("DataConn", "DataConn"),
  {
    name: "DataConn, chunks to keep",
    server: Contenders.dataConn,
    client: Processes.script("clients/DataConnKeepingClient")
  },
  {
    name: "DataConn, a pool",
    server: Contenders.dataConn,
    client: Processes.script("clients/DataConnPoolClient")
  },
  peer("ws", "Ws"),
  peer("@grpc/grpc-js", "Grpc"),
  peer("Effect RPC", "Rpc")
]

const earlier = Contenders.earlier("clients/DataConnClient")

/** With `--before` the other checkout's client on the same server. */
const contenders: ReadonlyArray<Compare.Contender> =
  earlier === undefined
    ? all
    : [{ name: "before", server: Contenders.dataConn, client: earlier }, peer("DataConn", "DataConn")]

const chunkSize = 64 * 1024

const quickCase: Compare.Case = {
  name: "4 connections",
  connections: 4,
  requests: 3,
  workload: { total: 500_000, chunkSize, mode: "ready" }
}

const cases: ReadonlyArray<Compare.Case> = [
  {
    name: "bulk, 64 KiB chunks",
    connections: 1,
    requests: 1,
    workload: { total: 2 ** 30, chunkSize, mode: "ready" }
  },
  {
    name: "small, 64 connections",
    connections: 64,
    // Enough of them: a client of 1500 is still being compiled for a good part of its life.
    requests: 3000,
    workload: { total: 120, chunkSize, mode: "ready" }
  },
  {
    name: "fan-out, 100 clients",
    connections: 100,
    requests: 1,
    workload: { total: 20e6, chunkSize, mode: "ready" }
  }
]

export const run = async (options: Options): Promise<ReadonlyArray<Row>> => {
  const { quick } = options
  const rows: Array<Row> = []
  for (const test of quick ? [quickCase] : cases) {
    const responses = test.connections * test.requests
    for (const measured of await Compare.measure(test, contenders, options)) {
      rows.push(
        Compare.row(measured, {
          "MB/s": round((responses * test.workload.total) / measured.seconds / 1e6),
          "responses/s": round(responses / measured.seconds)
        })
      )
    }
  }
  return rows
}
