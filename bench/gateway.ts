/**
 * HTTP in front of a back-end: the gateway beside a relay that is written by hand on `node:http`, over the same
 * back-end.
 */
import * as Compare from "./support/Compare.ts"
import * as Contenders from "./support/Contenders.ts"
import { type Row, round } from "./support/Figures.ts"
import type { Options } from "./support/Options.ts"
import * as Processes from "./support/Processes.ts"

const KiB = 1024
const GiB = KiB ** 3

export const run = (options: Options): Promise<ReadonlyArray<Row>> =>
  Processes.using(Contenders.raw, [], async (backend) => measure(await backend.line("port"), options))

const measure = async (backend: string, options: Options): Promise<ReadonlyArray<Row>> => {
  const client = Processes.script("clients/HttpClient")
  const relay = (name: string, script: string, ...flags: ReadonlyArray<string>): Compare.Contender => {
    const [program, ...args] = Processes.script(script, flags)
    return { name, server: [program, ...args, backend], client }
  }
  const contenders = [
    relay("by hand", "servers/HttpRelayServer"),
    // As the command has it.
    relay("DataConn gateway", "servers/GatewayServer", "--no-allocation-site-pretenuring")
  ]
  // What the parts of a gateway take that it does not make itself.
  const small = [
    ...contenders,
    relay("Effect's HTTP and a pool", "servers/HttpPoolServer", "--no-allocation-site-pretenuring")
  ]
  const { quick } = options
  const rows: Array<Row> = []
  for (const total of quick ? [GiB / 64] : [GiB / 4, GiB]) {
    const test = {
      name: `bulk, ${total / KiB ** 2} MiB`,
      connections: 1,
      requests: 1,
      workload: { total, chunkSize: 64 * KiB, mode: "ready" }
    } as const
    for (const one of await Compare.measure(test, contenders, options)) {
      rows.push(
        Compare.row(one, {
          "MB/s": round(total / one.seconds / 1e6),
          "responses/s": null,
          "CPU µs each": null
        })
      )
    }
  }
  for (const connections of [1, 64]) {
    const requests = (connections === 1 ? 10_000 : 1000) / (quick ? 50 : 1)
    const test = {
      name: `small, ${connections} connection${connections === 1 ? "" : "s"}`,
      connections,
      requests,
      workload: { total: 120, chunkSize: 64 * KiB, mode: "ready" }
    } as const
    const responses = connections * requests
    for (const one of await Compare.measure(test, small, options)) {
      rows.push(
        Compare.row(one, {
          "MB/s": null,
          "responses/s": round(responses / one.seconds),
          "CPU µs each": round((one.cpu / responses) * 1e6)
        })
      )
    }
  }
  return rows
}
