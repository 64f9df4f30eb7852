/**
 * Who is measured side by side on DataConn's protocol. The first is the baseline.
 */
import type { Contender } from "./Compare.ts"
import * as Load from "./Load.ts"
import * as Native from "./Native.ts"
import * as Processes from "./Processes.ts"

export const raw: Processes.Command = Processes.script("servers/RawServer")
export const dataConn: Processes.Command = Processes.script("servers/DataConnServer")

/** The hand-written server and DataConn. */
export const onNode = (): ReadonlyArray<Contender> => [
  { name: "raw", server: raw, client: Load.fastest() },
  { name: "DataConn", server: dataConn, client: Load.fastest() }
]

/** C++ Asio, where it can be compiled. */
export const native = (): ReadonlyArray<Contender> => {
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
