/**
 * How long a cancel waits for its acknowledgement while the connection streams at full speed, alone and beside
 * other connections that do the same.
 */
import * as Contenders from "./support/Contenders.ts"
import * as Figures from "./support/Figures.ts"
import type { Options } from "./support/Options.ts"
import * as Processes from "./support/Processes.ts"

interface Sample {
  readonly latencies: ReadonlyArray<number>
  /** What the others receive, in MB/s. */
  readonly load: number
}

const sample = (server: Processes.Command, others: number, rounds: number): Promise<Sample> =>
  Processes.using(server, [], async (process) => {
    const port = await process.line("port")
    const cancel = async (load: number) => {
      const canceller = Processes.script("clients/Canceller")
      const latencies = await Processes.using(canceller, [port, String(rounds)], ({ line }) =>
        line("latencies")
      )
      return { latencies: JSON.parse(latencies), load }
    }
    if (others === 0) return await cancel(0)
    return await Processes.using(
      Processes.script("clients/Drainers"),
      [port, String(others)],
      async ({ line }) => {
        await line("rate")
        return await cancel(Number(await line("rate")))
      }
    )
  })

const servers: ReadonlyArray<readonly [name: string, command: Processes.Command]> = [
  Contenders.before === undefined ? ["raw", Contenders.raw] : ["before", Contenders.before],
  ["DataConn", Contenders.dataConn]
]

export const run = async ({ quick, repeats }: Options): Promise<ReadonlyArray<Figures.Row>> => {
  const rounds = quick ? 5 : 300
  const rows: Array<Figures.Row> = []
  for (const others of [0, 20]) {
    const samples = servers.map((): Array<Sample> => [])
    for (let repeat = 0; repeat < repeats; repeat++) {
      for (const [i, [, server]] of servers.entries()) samples[i]?.push(await sample(server, others, rounds))
    }
    const figures = samples.map((all) => {
      const latencies = all.flatMap((one) => one.latencies)
      return {
        median: Figures.median(latencies),
        p99: Figures.quantile(latencies, 0.99),
        max: Math.max(...latencies),
        load: Figures.median(all.map((one) => one.load))
      }
    })
    for (const [i, { load, max, median, p99 }] of figures.entries()) {
      rows.push({
        "other streams": others,
        server: servers[i]?.[0] ?? "",
        ratio: Figures.round(median / (figures[0]?.median ?? Number.NaN)),
        "median ms": Figures.round(median),
        "p99 ms": Figures.round(p99),
        "max ms": Figures.round(max),
        cancels: rounds * repeats,
        "others' MB/s": others === 0 ? null : Figures.round(load)
      })
    }
  }
  return rows
}
