/**
 * A hundred clients that each take a large result at the same time.
 */
import * as Compare from "./support/Compare.ts"
import * as Contenders from "./support/Contenders.ts"
import { type Row, round } from "./support/Figures.ts"
import type { Options } from "./support/Options.ts"

export const run = async (options: Options): Promise<ReadonlyArray<Row>> => {
  const { quick } = options
  const connections = 100
  const total = quick ? 1e6 : 100e6
  const test = {
    name: `${connections} × ${total / 1e6} MB`,
    connections,
    requests: 1,
    workload: { total, chunkSize: 64 * 1024, mode: "ready" }
  } as const
  const contenders = [...Contenders.onNode(), ...Contenders.native()]
  return (await Compare.measure(test, contenders, options)).map((measured) =>
    Compare.row(measured, {
      "MB/s": round((connections * total) / measured.seconds / 1e6),
      "CPU s/GB": round(measured.cpu / ((connections * total) / 1e9))
    })
  )
}
