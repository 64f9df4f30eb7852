/**
 * The baseline: the same protocol by hand on `node:net`, as somebody would write it who wants speed and knows
 * how: gather writes of many chunks, one buffer for a small response, back-pressure, and a budget of bytes for
 * each turn of the event loop that all connections share. It has no cancel, limits, heartbeats or errors.
 */
import * as Net from "node:net"
import * as Workload from "./Workload.ts"

const batchSize = 512 * 1024
const bytesPerTurn = 1024 * 1024
const letters = { A: 0x41, F: 0x46, I: 0x49, R: 0x52 } as const

let spent = 0
let waiting: Array<() => void> = []

const inNextTurn = (resume: () => void) => {
  waiting.push(resume)
  if (waiting.length > 1) return
  setImmediate(() => {
    spent = 0
    const turn = waiting
    waiting = []
    for (const run of turn) spent < bytesPerTurn ? run() : inNextTurn(run)
  })
}

const header = (type: number, length: number): Buffer => {
  const bytes = Buffer.allocUnsafe(5)
  bytes.writeUInt32LE(length, 0)
  bytes[4] = type
  return bytes
}

const respond = (socket: Net.Socket, { chunkSize, mode, total }: Workload.Workload) => {
  let left = total
  let accepted = false

  const small = () => {
    const chunk = Workload.chunkOf(total)
    const bytes = Buffer.allocUnsafe(10 + Workload.accept.length + chunk.length)
    bytes.writeUInt32LE(Workload.accept.length, 0)
    bytes[4] = letters.A
    bytes.set(Workload.accept, 5)
    bytes.writeUInt32LE(chunk.length, 5 + Workload.accept.length)
    bytes[9 + Workload.accept.length] = letters.F
    bytes.set(chunk, 10 + Workload.accept.length)
    socket.write(bytes)
  }

  const write = () => {
    if (socket.destroyed) return
    if (spent >= bytesPerTurn) return inNextTurn(write)
    socket.cork()
    if (!accepted) {
      accepted = true
      socket.write(header(letters.A, Workload.accept.length))
      socket.write(Workload.accept)
    }
    let more = true
    for (let batch = 0; left > 0 && batch < batchSize; ) {
      const size = Math.min(left, chunkSize)
      left -= size
      batch += size
      spent += size
      socket.write(header(left === 0 ? letters.F : letters.I, size))
      more = socket.write(Workload.chunkOf(size))
    }
    socket.uncork()
    if (left === 0) return
    if (more) write()
    else socket.once("drain", write)
  }

  const start = total <= chunkSize && total <= 4096 ? small : write
  if (mode === "ready") start()
  else Promise.resolve().then(start)
}

const server = Net.createServer({ noDelay: true }, (socket) => {
  let pending: Buffer = Buffer.alloc(0)
  socket.on("error", () => {})
  socket.on("data", (data) => {
    pending = pending.length === 0 ? (data as Buffer) : Buffer.concat([pending, data as Buffer])
    while (pending.length >= 5 && pending.length >= 5 + pending.readUInt32LE(0)) {
      const end = 5 + pending.readUInt32LE(0)
      if (pending[4] === letters.R) respond(socket, Workload.parse(pending.subarray(5, end)))
      pending = pending.subarray(end)
    }
  })
})

server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  if (typeof address === "object") console.log(`port ${address?.port}`)
})
