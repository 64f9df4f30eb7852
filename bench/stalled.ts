/**
 * What readers cost that have stopped: resident memory of `dataconn serve`, all its processes together, for each, by
 * format and shape of the rows, and what is left after they have gone.
 *
 *     npm run bench -- stalled [--readers=20] [--shape=wide] [--format=text/csv] [--isolate=none]
 */
import { once } from "node:events"
import { readFileSync } from "node:fs"
import * as Net from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import * as QueryApi from "../src/engine/QueryApi.ts"
import * as Message from "../src/protocol/Message.ts"
import * as Figures from "./support/Figures.ts"
import type { Options } from "./support/Options.ts"
import * as Processes from "./support/Processes.ts"
import * as Usage from "./support/Usage.ts"

const shapes = {
  numbers: "SELECT i, i * 2 AS j, i % 7 AS k FROM range(100000000) t(i)",
  text: "SELECT i, repeat('x', 200) || i AS a, repeat('y', 200) || i AS b FROM range(100000000) t(i)",
  wide: `SELECT ${Array.from({ length: 50 }, (_, c) => `repeat('${c % 10}', 95) || i AS c${c}`).join(", ")} FROM range(100000000) t(i)`
} as const

const formats: ReadonlyArray<QueryApi.Format> = [
  "application/json",
  "application/x-ndjson",
  "text/csv",
  "application/vnd.apache.arrow.stream"
]

/** A reader that asks, and takes nothing of the answer. */
const stall = async (port: number, query: string, format: QueryApi.Format): Promise<Net.Socket> => {
  const socket = Net.connect({ port, host: "127.0.0.1" })
  socket.on("error", () => {})
  socket.pause()
  await once(socket, "connect")
  socket.write(
    Message.encode(Message.make(Message.Type.Request, QueryApi.encodeRequest({ query, format })), {
      ...Message.defaultOptions
    })
  )
  return socket
}

/** That of a process and its children, in MiB. */
const resident = (pid: number): number => {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ")
  return (
    [pid, ...children.filter(Boolean).map(Number)].reduce((sum, id) => sum + Usage.residentKiB(id), 0) / 1024
  )
}

/** Resident memory once it has come to rest, in MiB. */
const settled = async (pid: number): Promise<number> => {
  let last = Number.NaN
  for (let same = 0; same < 4; ) {
    await sleep(500)
    const now = resident(pid)
    same = Math.abs(now - last) < 4 ? same + 1 : 0
    last = now
  }
  return last
}

const bin = fileURLToPath(new URL("../src/bin.ts", import.meta.url))
const serve: Processes.Command = [
  process.execPath,
  bin,
  "serve",
  "--listen",
  "127.0.0.1:0",
  "--allow-root",
  // Readers that have stopped give up their places to those that wait.
  "--max-queued-queries",
  "1000"
]

interface Sample {
  readonly query: string
  readonly format: QueryApi.Format
  readonly isolate: string
  readonly readers: number
  readonly restMillis: number
}

const sample = ({ format, isolate, query, readers, restMillis }: Sample) =>
  Processes.using(serve, ["--isolate", isolate], async (server) => {
    const port = Number(await server.match(/Opening DataConn socket on .*:(\d+)\.\.\.$/))
    // The base is that of a server all of whose processes have worked.
    await sleep(3000)
    const first = await Promise.all([0, 1, 2, 3].map(() => stall(port, query, format)))
    for (const socket of first) socket.resume()
    await sleep(2000)
    for (const socket of first) socket.destroy()
    await sleep(restMillis)
    const base = await settled(server.pid)
    const sockets: Array<Net.Socket> = []
    for (let i = 0; i < readers; i++) sockets.push(await stall(port, query, format))
    // What was free before is given back by then.
    await sleep(restMillis)
    const held = await settled(server.pid)
    for (const socket of sockets) socket.destroy()
    await sleep(restMillis)
    const left = await settled(server.pid)
    return { base, held, left }
  })

export const run = async ({ repeats }: Options): Promise<ReadonlyArray<Figures.Row>> => {
  const { values: flags } = parseArgs({
    allowPositionals: true,
    strict: false,
    options: {
      readers: { type: "string" },
      shape: { type: "string" },
      format: { type: "string" },
      isolate: { type: "string" },
      quick: { type: "boolean" }
    }
  })
  const readers = Number(flags.readers ?? (flags.quick ? 2 : 20))
  const rows: Array<Figures.Row> = []
  for (const [shape, query] of Object.entries(shapes)) {
    if (flags.shape !== undefined && flags.shape !== shape) continue
    if (flags.quick === true && rows.length > 0) break
    for (const format of flags.quick ? formats.slice(0, 1) : formats) {
      if (flags.format !== undefined && flags.format !== format) continue
      const samples: Array<Awaited<ReturnType<typeof sample>>> = []
      for (let i = 0; i < repeats; i++)
        samples.push(
          await sample({
            query,
            format,
            isolate: String(flags.isolate ?? "process"),
            readers,
            restMillis: flags.quick === true ? 1000 : 60_000
          })
        )
      const median = (of: (each: (typeof samples)[number]) => number) => Figures.median(samples.map(of))
      rows.push({
        shape,
        format,
        "MiB a reader": Figures.round(
          Math.max(
            0,
            median(({ base, held }) => (held - base) / readers)
          )
        ),
        "MiB left after a minute": Figures.round(
          Math.max(
            0,
            median(({ base, left }) => left - base)
          )
        )
      })
      console.log(JSON.stringify(rows.at(-1)))
    }
  }
  return rows
}
