/**
 * HTTP in front of a back-end: the gateway beside a relay that is written by hand on `node:http`, and the back-end itself.
 * One back-end has its results in memory, so that only what is before it counts; the other is `dataconn serve`.
 */
import * as Compare from "./support/Compare.ts"
import * as Contenders from "./support/Contenders.ts"
import { type Row, round } from "./support/Figures.ts"
import type { Options } from "./support/Options.ts"
import * as Processes from "./support/Processes.ts"
import * as ServeCommand from "./support/ServeCommand.ts"
import type * as Workload from "./support/Workload.ts"

const KiB = 1024
const GiB = KiB ** 3

export const run = async (options: Options): Promise<ReadonlyArray<Row>> => {
  const inMemory = await Processes.using(Contenders.raw, [], async (backend) =>
    measure("in memory", before(await backend.line("port"), "application/json"), ofMemory(options), options)
  )
  ServeCommand.build()
  const duckDb = await ServeCommand.using([], (port) =>
    measure("DuckDB", before(port, "application/x-ndjson"), ofDuckDb(options), options)
  )
  return [...inMemory, ...duckDb]
}

/** What stands before a back-end, and asks it for a format. */
const before = (backend: string, format: string) => {
  const from = (name: string): Processes.Command => [
    ...Processes.script(`clients/${name}`),
    `--format=${format}`
  ]
  const relay = (name: string, script: string, ...flags: ReadonlyArray<string>): Compare.Contender => {
    const [program, ...args] = Processes.script(script, flags)
    return { name, server: [program, ...args, backend], client: from("HttpClient") }
  }
  // As the command has it.
  const young = "--no-allocation-site-pretenuring"
  return {
    byHand: relay("by hand", "servers/HttpRelayServer"),
    gateway: relay("DataConn gateway", "servers/GatewayServer", young),
    // What the parts of a gateway take that it does not make itself.
    parts: relay("Effect's HTTP and a pool", "servers/HttpPoolServer", young),
    // Nothing stands before it.
    directly: {
      name: "the back-end directly",
      server: [process.execPath, "-e", `console.log("port ${backend}"); setInterval(() => {}, 1e9)`],
      client: from("NodeClient")
    } satisfies Compare.Contender
  }
}

interface Load {
  readonly isBulk: boolean
  readonly connections: number
  /** Of all connections together. */
  readonly requests: number
  readonly workload: Workload.Workload
}

const ready = { chunkSize: 64 * KiB, mode: "ready" } as const

const ofMemory = ({ quick }: Options): ReadonlyArray<Load> => [
  ...(quick ? [GiB / 64] : [GiB / 4, GiB]).map((total) => ({
    isBulk: true,
    connections: 1,
    requests: 1,
    workload: { total, ...ready }
  })),
  ...smallOnes(quick ? 200 : 10_000, { total: 120, ...ready })
]

/** Rows of 100 digits as NDJSON, and the least query that there is. */
const ofDuckDb = ({ quick }: Options): ReadonlyArray<Load> => {
  const rows = quick ? 10_000 : 4_000_000
  const query = `SELECT printf('%0100d', i) AS a FROM range(${rows}) AS r(i)`
  return [
    { isBulk: true, connections: 1, requests: 1, workload: { total: rows * 109, query, ...ready } },
    ...smallOnes(quick ? 64 : 1000, {
      total: '{"answer":42}\n'.length,
      query: "SELECT 42 AS answer",
      ...ready
    })
  ]
}

const smallOnes = (requests: number, workload: Workload.Workload): ReadonlyArray<Load> => [
  { isBulk: false, connections: 1, requests, workload },
  { isBulk: false, connections: 64, requests: 5 * requests, workload }
]

const measure = async (
  backend: string,
  { byHand, directly, gateway, parts }: ReturnType<typeof before>,
  loads: ReadonlyArray<Load>,
  options: Options
): Promise<ReadonlyArray<Row>> => {
  const rows: Array<Row> = []
  for (const { connections, isBulk, requests, workload } of loads) {
    const size = `${Math.round(workload.total / KiB ** 2)} MiB`
    const kind = isBulk ? `bulk, ${size}` : `small, ${connections} connection${connections === 1 ? "" : "s"}`
    const each = Math.ceil(requests / connections)
    const contenders = [byHand, gateway, ...(isBulk ? [] : [parts]), directly]
    const test = { name: `${backend}: ${kind}`, connections, requests: each, workload }
    for (const one of await Compare.measure(test, contenders, options)) {
      const responses = connections * each
      rows.push(
        Compare.row(one, {
          "MB/s": isBulk ? round(workload.total / one.seconds / 1e6) : null,
          "responses/s": isBulk ? null : round(responses / one.seconds),
          "CPU µs each": isBulk ? null : round((one.cpu / responses) * 1e6)
        })
      )
    }
  }
  return rows
}
