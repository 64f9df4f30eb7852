/**
 * How long a cancel waits for its acknowledgement while the connection streams at full speed, alone and beside
 * other connections that do the same. The clients run in processes of their own.
 */
import * as Processes from "./support/Processes.ts"

export interface Options {
  /** Cancels measured for each load. */
  readonly rounds: number
}

interface Row {
  readonly others: number
  readonly p50: number
  readonly p99: number
  readonly max: number
  readonly load: number
}

const measure = async (others: number, rounds: number): Promise<Row> => {
  const server = Processes.start("DataConnServer")
  const scripts = [server]
  try {
    const port = await server.line("port")
    let load = 0
    if (others > 0) {
      const drainers = Processes.start("Drainers", port, String(others))
      scripts.push(drainers)
      await drainers.line("rate")
      load = Number(await drainers.line("rate"))
    }
    const canceller = Processes.start("Canceller", port, String(rounds))
    scripts.push(canceller)
    const { max, p50, p99 } = JSON.parse(await canceller.line("latency"))
    return { others, p50, p99, max, load }
  } finally {
    for (const script of scripts) await script.stop()
  }
}

export const run = async (options: Options): Promise<ReadonlyArray<Row>> => {
  const rows: Array<Row> = []
  for (const others of [0, 20]) rows.push(await measure(others, options.rounds))
  console.log("cancel to acknowledgement, milliseconds")
  console.table(rows)
  return rows
}
