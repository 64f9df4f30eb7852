/**
 * Load from a process that is no bottleneck: a small native client, compiled when it is first needed.
 */
import { execFile, execFileSync } from "node:child_process"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import * as Workload from "./Workload.ts"

export interface Result {
  readonly responses: number
  readonly frames: number
  readonly bytes: number
  readonly seconds: number
}

let compiled: string | undefined

const binary = (): string => {
  if (compiled === undefined) {
    compiled = join(mkdtempSync(join(tmpdir(), "dataconn-bench-")), "load")
    const source = fileURLToPath(new URL("../native/load.cpp", import.meta.url))
    execFileSync("g++", ["-O2", "-std=c++17", "-o", compiled, source])
  }
  return compiled
}

/** `requests` of a workload on each of `connections`. Fails unless every byte of every result came. */
export const run = async (
  port: string,
  options: { readonly connections: number; readonly requests: number; readonly workload: Workload.Workload }
): Promise<Result> => {
  const { connections, requests, workload } = options
  const args = [port, String(connections), String(requests), Workload.format(workload)]
  const { stdout } = await promisify(execFile)(binary(), args)
  const result: Result = JSON.parse(stdout)
  const expected = { responses: connections * requests, bytes: connections * requests * workload.total }
  if (result.responses !== expected.responses || result.bytes !== expected.bytes) {
    throw new Error(`expected ${JSON.stringify(expected)}, got ${stdout}`)
  }
  return result
}
