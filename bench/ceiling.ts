/**
 * What stands above the servers: the machine's own loopback by iperf3, and how fast the load client would be if
 * it never had to wait for a server.
 */
import { once } from "node:events"
import * as Net from "node:net"
import * as Compare from "./support/Compare.ts"
import * as Contenders from "./support/Contenders.ts"
import { type Row, round } from "./support/Figures.ts"
import * as Native from "./support/Native.ts"
import type { Options } from "./support/Options.ts"
import * as Processes from "./support/Processes.ts"

const chunkSize = 64 * 1024

const quickCase: Compare.Case = {
  name: "4 connections",
  connections: 4,
  requests: 10,
  workload: { total: 500_000, chunkSize, mode: "ready" }
}

const cases: ReadonlyArray<Compare.Case> = [
  {
    name: "bulk, 64 KiB chunks",
    connections: 1,
    requests: 1,
    workload: { total: 2 ** 31, chunkSize, mode: "ready" }
  },
  {
    name: "small, 64 connections",
    connections: 64,
    requests: 2000,
    workload: { total: 120, chunkSize, mode: "ready" }
  },
  {
    name: "fan-out, 100 clients",
    connections: 100,
    requests: 1,
    workload: { total: 20e6, chunkSize, mode: "ready" }
  }
]

const freePort = async (): Promise<number> => {
  const server = Net.createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as Net.AddressInfo
  server.close()
  await once(server, "close")
  return port
}

/** Bytes a second that iperf3 moves from one process to another. */
const iperf = async (seconds: number): Promise<number> => {
  const port = String(await freePort())
  const server = [
    "iperf3",
    "--server",
    "--one-off",
    "--forceflush",
    "--bind",
    "127.0.0.1",
    "--port",
    port
  ] as const
  return await Processes.using(server, [], async ({ match }) => {
    await match(/Server listening/)
    const client = ["iperf3", "--client", "127.0.0.1", "--port", port, "--length", "64K", "--json"] as const
    const output = await Processes.using(client, ["--time", String(seconds)], (process) => process.output())
    return JSON.parse(output).end.sum_received.bits_per_second / 8
  })
}

export const run = async (options: Options): Promise<ReadonlyArray<Row>> => {
  const { quick } = options
  const rows: Array<Row> = []
  if (Native.succeeds("iperf3", "--version")) {
    const speed = await iperf(quick ? 1 : 5)
    rows.push({ case: "iperf3, one stream", source: "iperf3", "MB/s": round(speed / 1e6) })
  } else {
    console.error("iperf3 is left out: it is not installed")
  }
  const [raw] = Contenders.onNode()
  const [native] = Contenders.native()
  const sources = [raw, native].filter((source) => source !== undefined)
  for (const test of quick ? [quickCase] : cases) {
    const responses = test.connections * test.requests
    const bytes = responses * test.workload.total
    for (const measured of await Compare.measure(test, sources, options)) {
      rows.push({
        case: test.name,
        source: measured.server,
        "MB/s": round(bytes / measured.seconds / 1e6),
        "responses/s": round(responses / measured.seconds),
        "client busy": round(measured.clientBusy),
        "MB/s if always busy": round(bytes / measured.seconds / 1e6 / measured.clientBusy),
        "responses/s if always busy": round(responses / measured.seconds / measured.clientBusy)
      })
    }
  }
  return rows
}
