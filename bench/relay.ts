/**
 * One large result through a relay: a DataConn server whose engine is a DataConn client, beside two sockets that are
 * piped into each other. Chunks that are passed on are not copied; those of the last row are, once.
 */
import * as Compare from "./support/Compare.ts"
import * as Contenders from "./support/Contenders.ts"
import { type Row, round } from "./support/Figures.ts"
import * as Load from "./support/Load.ts"
import type { Options } from "./support/Options.ts"
import * as Processes from "./support/Processes.ts"

const KiB = 1024
const GiB = KiB ** 3

const relay = (name: string, upstream: string, mode: string): Compare.Contender => {
  const [program, ...args] = Processes.script("servers/RelayServer")
  return { name, server: [program, ...args, upstream, mode], client: Load.fastest() }
}

export const run = (options: Options): Promise<ReadonlyArray<Row>> =>
  Processes.using(Contenders.raw, [], async (upstream) => measure(await upstream.line("port"), options))

const measure = async (upstream: string, options: Options): Promise<ReadonlyArray<Row>> => {
  const total = options.quick ? GiB / 64 : 2 * GiB
  const contenders = [
    relay("piped sockets", upstream, "pipe"),
    relay("DataConn, chunks passed on", upstream, "passes"),
    relay("DataConn, chunks copied", upstream, "copies")
  ]
  const test = {
    name: "64 KiB chunks",
    connections: 1,
    requests: 1,
    workload: { total, chunkSize: 64 * KiB, mode: "ready" }
  } as const
  const measured = await Compare.measure(test, contenders, options)
  return measured.map((one) =>
    Compare.row(one, {
      "MB/s": round(total / one.seconds / 1e6),
      "CPU s/GiB": round(one.cpu / (total / GiB))
    })
  )
}
