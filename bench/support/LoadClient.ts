/**
 * What the clients on Node have in common: `CLIENT PORT CONNECTIONS REQUESTS REQUEST-BODY PADDING
 * verify|checksum|count [--threads=N] [--FLAG…]`, as the native client takes it, and prints the same JSON object. Each
 * connection sends its requests one after the other's response. With `checksum` all results must be the same, and
 * their CRC-32 is told.
 */
import { strict as assert } from "node:assert"
import { isMainThread, parentPort, Worker } from "node:worker_threads"
import { crc32 } from "node:zlib"
import type { Result } from "./Load.ts"
import * as Workload from "./Workload.ts"

export interface Connection {
  /** Sends one request, and hands over each part of its result as it comes. The number of frames at its end. */
  readonly request: (body: Uint8Array, onBytes: (bytes: Uint8Array) => void) => Promise<number>
  readonly close: () => void
}

interface Task {
  readonly port: number
  readonly connections: number
  readonly requests: number
  readonly body: Uint8Array
  readonly check: string | undefined
}

/** A result with the times at which it began and ended, for those of several threads to be added. */
interface Timed extends Result {
  readonly startedAt: number
  readonly endedAt: number
}

const now = () => performance.timeOrigin + performance.now()

const cpuSeconds = () => {
  const { system, user } = process.threadCpuUsage()
  return (system + user) / 1e6
}

const load = async (task: Task, connect: (port: number) => Promise<Connection>): Promise<Timed> => {
  const connections: Array<Connection> = []
  for (let i = 0; i < task.connections; i++) connections.push(await connect(task.port))
  let frames = 0
  let bytes = 0
  let checksum: number | undefined
  const requests = async (connection: Connection) => {
    for (let i = 0; i < task.requests; i++) {
      let position = 0
      let sum = 0
      const count = (part: Uint8Array) => {
        if (task.check === "checksum") sum = crc32(part, sum)
        if (task.check === "verify")
          assert(Workload.matches(part, position), "a result that is not what was asked for")
        position += part.length
      }
      const received = await connection.request(task.body, count)
      frames += received
      bytes += position
      checksum ??= sum
      assert(checksum === sum, "results of the same query that differ")
    }
  }
  const used = cpuSeconds()
  const startedAt = now()
  await Promise.all(connections.map(requests))
  const endedAt = now()
  for (const connection of connections) connection.close()
  return add([
    {
      responses: task.connections * task.requests,
      frames,
      bytes,
      seconds: 0,
      cpu: cpuSeconds() - used,
      checksum: checksum ?? 0,
      startedAt,
      endedAt
    }
  ])
}

const add = (results: ReadonlyArray<Timed>): Timed => {
  const sum = (what: Exclude<keyof Result, "checksum">) =>
    results.reduce((total, result) => total + result[what], 0)
  const [{ checksum = 0 } = {}] = results
  assert(
    results.every((result) => result.checksum === checksum),
    "results of the same query that differ"
  )
  const startedAt = Math.min(...results.map((result) => result.startedAt))
  const endedAt = Math.max(...results.map((result) => result.endedAt))
  return {
    responses: sum("responses"),
    frames: sum("frames"),
    bytes: sum("bytes"),
    seconds: (endedAt - startedAt) / 1e3,
    cpu: sum("cpu"),
    checksum,
    startedAt,
    endedAt
  }
}

const inThread = (args: ReadonlyArray<string>): Promise<Timed> =>
  new Promise((resolve, reject) => {
    const worker = new Worker(process.argv[1] ?? "", { argv: [...args] })
    worker.once("message", resolve)
    worker.once("error", reject)
  })

/** The share of `total` that part `i` of `parts` has. */
const share = (total: number, parts: number, i: number): number =>
  Math.floor((total * (i + 1)) / parts) - Math.floor((total * i) / parts)

/** The value of a flag of the command line, `--NAME=VALUE`. */
export const flag = (name: string): string | undefined =>
  process.argv.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3)

/** Runs what the command line asks for, over connections of this kind. */
export const main = async (connect: (port: number) => Promise<Connection>): Promise<void> => {
  const args = process.argv.slice(2)
  const flags = args.filter((arg) => arg.startsWith("--"))
  const threads = Number(flag("threads") ?? 1)
  const [port = "", count = "", requests, text, padding = "0", check] = args.filter(
    (arg) => !flags.includes(arg)
  )
  const connections = Number(count)
  if (isMainThread && threads > 1) {
    const parts = Math.min(threads, connections)
    const shares = Array.from({ length: parts }, (_, i) => String(share(connections, parts, i)))
    const rest = [requests ?? "", text ?? "", padding, check ?? "", ...flags]
    console.log(JSON.stringify(add(await Promise.all(shares.map((n) => inThread([port, n, ...rest]))))))
    return
  }
  const result = await load(
    {
      port: Number(port),
      connections,
      requests: Number(requests),
      body: Buffer.from(text + " ".repeat(Number(padding))),
      check
    },
    connect
  )
  if (isMainThread) console.log(JSON.stringify(result))
  else parentPort?.postMessage(result)
}
