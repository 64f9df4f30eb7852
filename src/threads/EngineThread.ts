/**
 * The program of an engine's thread: answers DataConn's protocol on the connections that its parent posts.
 * `Thread` starts it.
 */
import { getHeapStatistics } from "node:v8"
import { parentPort, workerData } from "node:worker_threads"
import { type Accepted, EngineHost } from "../process/EngineHost.ts"
import type * as Messages from "./Messages.ts"
import * as ThreadTransport from "./ThreadTransport.ts"

/** With so many messages on their way, the parent is behind. */
const mostUnderWay = 1000

if (parentPort === null) throw new Error("This program is started in a thread (ThreadEngine)")
const port = parentPort

const { isKillable, taken: memory }: Messages.WorkerData = workerData
const taken = new Int32Array(memory)
let told = 0

const tell = (message: Messages.FromThread): void => {
  told++
  port.postMessage(message)
}

/** Connections that arrived before the engine was ready. */
const early: Array<Accepted> = []
let accept = (connection: Accepted): void => void early.push(connection)

const host = new EngineHost({
  tell,
  isBehind: () => told - Atomics.load(taken, 0) >= mostUnderWay,
  accept: (accepted) => {
    accept = accepted
    for (const connection of early.splice(0)) accepted(connection)
  },
  residentBytes: () => getHeapStatistics().used_heap_size,
  end: (why) => {
    if (why !== "Asked") tell(why)
    // Ends this thread only; its earlier messages are still delivered.
    if (isKillable) process.exit(0)
    // The thread ends when it has no work left.
    host.leave()
    port.close()
  }
})

port.on("message", (message: Messages.ToThread) => {
  if (message._tag !== "Connect") return host.received(message)
  const { end } = message
  accept({ transport: ThreadTransport.open(end), drop: () => end.port.close() })
})
