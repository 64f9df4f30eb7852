/**
 * One large result on one connection.
 */
import * as Compare from "./support/Compare.ts"
import * as Contenders from "./support/Contenders.ts"
import { type Row, round } from "./support/Figures.ts"
import type { Options } from "./support/Options.ts"

const KiB = 1024
const GiB = KiB ** 3

export const run = async (options: Options): Promise<ReadonlyArray<Row>> => {
  const { quick } = options
  const total = quick ? GiB / 64 : 2 * GiB
  const contenders = [...Contenders.onNode(), ...Contenders.native()]
  const rows: Array<Row> = []
  for (const chunkSize of [64 * KiB, 1024 * KiB]) {
    const test = {
      name: `${chunkSize / KiB} KiB chunks`,
      connections: 1,
      requests: 1,
      workload: { total, chunkSize, mode: "ready" }
    } as const
    for (const measured of await Compare.measure(test, contenders, options)) {
      rows.push(
        Compare.row(measured, {
          "MB/s": round(total / measured.seconds / 1e6),
          "CPU s/GiB": round(measured.cpu / (total / GiB))
        })
      )
    }
  }
  return rows
}
