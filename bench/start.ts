/**
 * From the start of a server's process to its first answer, and what it then has resident.
 */
import { strict as assert } from "node:assert"
import { execFileSync } from "node:child_process"
import { once } from "node:events"
import * as Net from "node:net"
import { fileURLToPath } from "node:url"
import * as QueryApi from "../src/engine/QueryApi.ts"
import * as Message from "../src/protocol/Message.ts"
import * as Contenders from "./support/Contenders.ts"
import * as Figures from "./support/Figures.ts"
import * as FrameReader from "./support/FrameReader.ts"
import type { Options } from "./support/Options.ts"
import * as Processes from "./support/Processes.ts"
import * as Usage from "./support/Usage.ts"
import * as Workload from "./support/Workload.ts"

interface Starter {
  readonly name: string
  readonly command: Processes.Command
  /** What it says before its port. */
  readonly announcement: RegExp
  readonly request: Uint8Array
  readonly answer: string
}

const path = (relative: string) => fileURLToPath(new URL(`../${relative}`, import.meta.url))

const workload = { total: 64, chunkSize: 1024, mode: "ready" } as const
const bench = {
  announcement: /^port (\d+)$/,
  request: Buffer.from(Workload.format(workload)),
  answer: Buffer.from(Workload.bytesAt(0, workload.total)).toString()
}
const starters: ReadonlyArray<Starter> = [
  { name: "raw", command: Contenders.raw, ...bench },
  { name: "DataConn, embedded", command: Processes.script("servers/EmbeddedServer"), ...bench },
  {
    name: "dataconn serve, DuckDB",
    command: [process.execPath, path("dist/command/bin.js"), "serve", "--listen", "127.0.0.1:0"],
    announcement: /Opening DataConn socket on .*:(\d+)\.\.\.$/,
    request: QueryApi.encodeRequest({ query: "SELECT 42 AS answer", format: "application/x-ndjson" }),
    answer: '{"answer":42}\n'
  }
]

/** The result of one request. */
const ask = async (port: number, request: Uint8Array): Promise<string> => {
  const socket = Net.connect({ port, host: "127.0.0.1", noDelay: true })
  await once(socket, "connect")
  socket.write(Message.encode(Message.make(Message.Type.Request, request)))
  return await new Promise((resolve, reject) => {
    let result = ""
    const read = FrameReader.make({
      onBody: (type, bytes) => {
        if (type !== Message.Type.Accept) result += Buffer.from(bytes).toString()
      },
      onEnd: (type) => {
        if (!Message.isTerminal(type as Message.Type)) return
        socket.destroy()
        resolve(result)
      }
    })
    socket.on("data", (data) => read(data as Buffer))
    socket.on("error", reject)
  })
}

interface Sample {
  readonly milliseconds: number
  readonly cpu: number
  readonly residentMiB: number
}

const sample = ({ announcement, answer, command, request }: Starter): Promise<Sample> => {
  const started = performance.now()
  return Processes.using(command, [], async (server) => {
    const port = await server.match(announcement)
    assert.equal(await ask(Number(port), request), answer)
    return {
      milliseconds: performance.now() - started,
      cpu: Usage.cpuSeconds(server.pid),
      residentMiB: Usage.residentKiB(server.pid) / 1024
    }
  })
}

export const run = async ({ quick, repeats }: Options): Promise<ReadonlyArray<Figures.Row>> => {
  // As it is published.
  execFileSync("npm", ["run", "--silent", "build"], { cwd: path("."), stdio: "inherit" })
  const samples = starters.map((): Array<Sample> => [])
  for (let repeat = 0; repeat < (quick ? 1 : repeats * 3); repeat++) {
    for (const [i, starter] of starters.entries()) samples[i]?.push(await sample(starter))
  }
  const figures = samples.map((all) => {
    const of = (what: keyof Sample) => Figures.median(all.map((one) => one[what]))
    return { milliseconds: of("milliseconds"), cpu: of("cpu"), residentMiB: of("residentMiB") }
  })
  return figures.map(({ cpu, milliseconds, residentMiB }, i) => ({
    server: starters[i]?.name ?? "",
    ratio: Figures.round(milliseconds / (figures[0]?.milliseconds ?? Number.NaN)),
    "first answer ms": Math.round(milliseconds),
    "CPU ms": Math.round(cpu * 1000),
    "resident MiB": Math.round(residentMiB)
  }))
}
