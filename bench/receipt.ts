/**
 * What a receipt costs: a large result, and small ones, from a server that counts and checks what it sends, beside the
 * same server without.
 */
import * as Compare from "./support/Compare.ts"
import * as Contenders from "./support/Contenders.ts"
import { type Row, round } from "./support/Figures.ts"
import * as Load from "./support/Load.ts"
import type { Options } from "./support/Options.ts"

const KiB = 1024
const GiB = KiB ** 3

const contenders: ReadonlyArray<Compare.Contender> = [
  { name: "no receipt", server: Contenders.dataConn, client: Load.fastest() },
  { name: "receipt", server: [...Contenders.dataConn, "5", "receipt"], client: Load.fastest() }
]

export const run = async (options: Options): Promise<ReadonlyArray<Row>> => {
  const total = options.quick ? GiB / 64 : 2 * GiB
  const bulk = {
    name: "64 KiB chunks",
    connections: 1,
    requests: 1,
    workload: { total, chunkSize: 64 * KiB, mode: "ready" }
  } as const
  const small = {
    name: "small, 64 connections",
    connections: 64,
    requests: options.quick ? 20 : 2000,
    workload: { total: 120, chunkSize: 64 * KiB, mode: "ready" }
  } as const
  const responses = small.connections * small.requests
  return [
    ...(await Compare.measure(bulk, contenders, options)).map((one) =>
      Compare.row(one, { "MB/s": round(total / one.seconds / 1e6), "responses/s": null })
    ),
    ...(await Compare.measure(small, contenders, options)).map((one) =>
      Compare.row(one, { "MB/s": null, "responses/s": round(responses / one.seconds) })
    )
  ]
}
