/**
 * Load from a process of its own: requests on many connections, whose results are counted, or compared byte by
 * byte.
 */
import { availableParallelism } from "node:os"
import * as Native from "./Native.ts"
import * as Processes from "./Processes.ts"
import * as Workload from "./Workload.ts"

export interface Result {
  readonly responses: number
  /** Frames of the protocol, or messages of another one. */
  readonly frames: number
  readonly bytes: number
  readonly seconds: number
  /** CPU seconds that the client itself used. */
  readonly cpu: number
  /** The CRC-32 of each result, where that was asked for. */
  readonly checksum?: number
}

export interface Load {
  readonly connections: number
  /** Requests on each connection, one after the other. */
  readonly requests: number
  readonly workload: Workload.Workload
  /** Bytes added to each request. */
  readonly padding?: number
}

/** Whether clients are native: where there is a compiler, unless `BENCH_CLIENT=node` asks for others. */
export const isNative = Native.hasCompiler && process.env["BENCH_CLIENT"] !== "node"

/** The client that is least in the way: a native one, or threads of Node. */
export const fastest = (): Processes.Command =>
  isNative
    ? [Native.binary("load")]
    : [...Processes.script("clients/NodeClient"), `--threads=${Math.max(1, availableParallelism() - 1)}`]

/** The same for connections that ask for nothing. */
export const idle = (): Processes.Command =>
  isNative ? [Native.binary("idle")] : Processes.script("clients/IdleClients")

/**
 * Applies a load. Fails unless every byte of every result came, and with `verify` unless it is the right one, or, where
 * the server makes results of its own, unless all are the same.
 */
export const run = async (
  client: Processes.Command,
  port: string,
  load: Load,
  { verify = false } = {}
): Promise<Result> => {
  const { connections, padding = 0, requests, workload } = load
  const check = !verify ? "count" : workload.query === undefined ? "verify" : "checksum"
  const args = [port, connections, requests, Workload.format(workload), padding, check]
  const output = await Processes.using(client, args.map(String), (process) => process.output())
  const result: Result = JSON.parse(output)
  const expected = { responses: connections * requests, bytes: connections * requests * workload.total }
  if (result.responses !== expected.responses || result.bytes !== expected.bytes) {
    throw new Error(`expected ${JSON.stringify(expected)}, got ${output}`)
  }
  return result
}
