/**
 * The process that an engine runs in: answers DataConn's protocol on descriptors inherited from its parent,
 * and ends with it.
 */
import * as Net from "node:net"
import * as Tcp from "../net/Tcp.ts"
import { type Accepted, type Ending, EngineHost } from "./EngineHost.ts"
import * as Messages from "./Messages.ts"
import * as ParentWatch from "./ParentWatch.ts"

/** Messages that are on their way to the parent. */
let underWay = 0
/** With so many messages on their way, the parent is behind. */
const mostUnderWay = 1000

const tell = (message: Messages.FromChild, told: () => void = () => {}): void => {
  if (!process.connected) {
    told()
    return
  }
  underWay++
  process.send?.(message, undefined, undefined, () => {
    underWay--
    told()
  })
}

/** The connection on one of the inherited descriptors. */
const connection = (descriptor: number): Accepted => {
  const socket = new Net.Socket({ fd: descriptor, readable: true, writable: true })
  socket.on("error", () => {})
  return { transport: Tcp.fromSocket(socket), drop: () => socket.destroy() }
}

const end = (why: Ending): void => {
  if (why === "Asked") {
    // Node would wait for its threads, one of which may be in a DuckDB call that does not end.
    process.once("exit", ParentWatch.endNow)
    process.exit(0)
  }
  tell(why, ParentWatch.endNow)
}

/** Runs an engine under the control of the parent. */
export const run = (): void => {
  if (process.send === undefined) {
    console.error("This program is started by another one (ProcessEngine)")
    process.exitCode = 1
    return
  }
  // Terminals and service managers send signals to all processes; the parent decides how to react.
  for (const signal of ["SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2"] as const) {
    process.on(signal, () => {})
  }
  ParentWatch.endWithParent()
  process.once("disconnect", ParentWatch.endNow)
  let connections = 0
  const host = new EngineHost({
    tell,
    isBehind: () => underWay >= mostUnderWay,
    accept: (accepted) => {
      for (let i = 0; i < connections; i++) accepted(connection(Messages.firstConnection + i))
    },
    residentBytes: () => process.memoryUsage.rss(),
    end
  })
  process.on("message", (message: Messages.ToChild) => {
    if (message._tag === "Start") {
      process.title = message.title
      connections = message.connections
    }
    host.received(message)
  })
}
