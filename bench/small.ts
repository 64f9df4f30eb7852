/**
 * Small results: an accept and a final chunk of 120 bytes, on one connection and on many.
 */
import * as Compare from "./support/Compare.ts"
import * as Contenders from "./support/Contenders.ts"
import { type Row, round } from "./support/Figures.ts"
import type { Options } from "./support/Options.ts"

const cases = [
  { connections: 1, requests: 20_000, mode: "ready" },
  { connections: 64, requests: 2000, mode: "ready" },
  { connections: 64, requests: 2000, mode: "streamed" }
] as const

export const run = async (options: Options): Promise<ReadonlyArray<Row>> => {
  const { quick } = options
  const native = Contenders.native()
  const rows: Array<Row> = []
  for (const { connections, mode, requests } of cases) {
    const test = {
      name: `${connections} connection${connections === 1 ? "" : "s"}, ${mode}`,
      connections,
      requests: quick ? Math.ceil(requests / 50) : requests,
      workload: { total: 120, chunkSize: 64 * 1024, mode }
    } as const
    // The native server has no asynchronous source.
    const contenders = [...Contenders.onNode(), ...(mode === "ready" ? native : [])]
    const responses = connections * test.requests
    for (const measured of await Compare.measure(test, contenders, options)) {
      rows.push(
        Compare.row(measured, {
          "responses/s": round(responses / measured.seconds),
          "CPU µs each": round((measured.cpu / responses) * 1e6)
        })
      )
    }
  }
  return rows
}
