/**
 * One result of very many chunks of 100 bytes, as fast as they are made. Each is a message of its own.
 */
import { strict as assert } from "node:assert"
import * as Compare from "./support/Compare.ts"
import * as Contenders from "./support/Contenders.ts"
import { type Row, round } from "./support/Figures.ts"
import type { Options } from "./support/Options.ts"

export const run = async (options: Options): Promise<ReadonlyArray<Row>> => {
  const { quick } = options
  const count = quick ? 100_000 : 2_000_000
  const test = {
    name: `${count / 1e6} million chunks of 100 B`,
    connections: 1,
    requests: 1,
    workload: { total: 100 * count, chunkSize: 100, mode: "ready" }
  } as const
  const contenders = [...Contenders.onNode(), ...Contenders.native()]
  return (await Compare.measure(test, contenders, options)).map((measured) => {
    assert(measured.frames > count, `${measured.server} sent ${measured.frames} frames`)
    return Compare.row(measured, {
      "million chunks/s": round(count / measured.seconds / 1e6),
      "CPU µs each": round((measured.cpu / count) * 1e6)
    })
  })
}
