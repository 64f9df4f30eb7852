/**
 * The servers that are measured side by side on DataConn's protocol. The first is the baseline.
 */
import { resolve } from "node:path"
import { parseArgs } from "node:util"
import type { Contender } from "./Compare.ts"
import * as Load from "./Load.ts"
import * as Native from "./Native.ts"
import * as Processes from "./Processes.ts"

export const raw: Processes.Command = Processes.script("servers/RawServer")
export const dataConn: Processes.Command = Processes.script("servers/DataConnServer")

const { values: flags } = parseArgs({ strict: false, options: { before: { type: "string" } } })

/**
 * A program of another checkout of this project whose benches have been compiled (`tsc -p bench`), which takes the place of
 * all others: `--before ../earlier`.
 */
export const earlier = (path: string): Processes.Command | undefined =>
  typeof flags.before === "string"
    ? [process.execPath, resolve(flags.before, `bench/dist/bench/${path}.js`)]
    : undefined

export const before = earlier("servers/DataConnServer")

/** The hand-written server, or an earlier DataConn, and DataConn. */
export const onNode = (): ReadonlyArray<Contender> => [
  before === undefined
    ? { name: "raw", server: raw, client: Load.fastest() }
    : { name: "before", server: before, client: Load.fastest() },
  { name: "DataConn", server: dataConn, client: Load.fastest() }
]

/** C++ Asio, where it can be compiled. */
export const native = (): ReadonlyArray<Contender> => {
  if (before !== undefined) return []
  if (!Native.hasHeader("asio.hpp")) {
    console.error("C++ Asio is left out: it needs g++ and libasio-dev")
    return []
  }
  const server = Native.binary("asio")
  return [
    { name: "C++ Asio, strong", server: [server, "strong"], client: Load.fastest() },
    { name: "C++ Asio, clear", server: [server, "clear"], client: Load.fastest() }
  ]
}
