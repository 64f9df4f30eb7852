/**
 * A minimal server, in a separate thread: it answers every request with the same bytes. The load's result
 * with it is an upper bound for any server on this machine.
 */
import * as Net from "node:net"
import { parentPort, workerData } from "node:worker_threads"
import { encode, headerSize, make, Type } from "../../protocol/Message.ts"

/** Its input: the bytes of each result. */
export interface Size {
  readonly bytes: number
}

const chunkSize = 64 * 1024
const chunk = encode(make(Type.Intermediate, new Uint8Array(chunkSize)))
const accept = encode(make(Type.Accept, Buffer.from("{}")))
/** Bytes of a result per write; the next write waits until the socket has taken them. */
const pieceSize = 512 * 1024

const serve = (socket: Net.Socket, { bytes }: Size): void => {
  const last = encode(make(Type.Final, new Uint8Array(bytes % chunkSize)))
  const small = bytes < chunkSize ? Buffer.concat([accept, last]) : undefined
  let input: Buffer = Buffer.alloc(0)
  const answer = (): void => {
    if (small !== undefined) socket.write(small)
    else {
      socket.write(accept)
      send(Math.floor(bytes / chunkSize))
    }
  }
  const send = (left: number): void => {
    let rest = left
    while (rest > 0) {
      const count = Math.min(rest, pieceSize / chunkSize)
      rest -= count
      socket.cork()
      let isTaken = true
      for (let at = 0; at < count; at++) isTaken = socket.write(chunk)
      socket.uncork()
      if (!isTaken && rest > 0) {
        socket.once("drain", () => send(rest))
        return
      }
    }
    socket.write(last)
  }
  socket.setNoDelay(true)
  socket.on("error", () => socket.destroy())
  socket.on("data", (data: Buffer) => {
    input = input.length === 0 ? data : Buffer.concat([input, data])
    while (input.length >= headerSize) {
      const end = headerSize + input.readUInt32LE(0)
      if (input.length < end) return
      input = input.subarray(end)
      answer()
    }
  })
}

const port = parentPort
if (port !== null) {
  const server = Net.createServer((socket) => serve(socket, workerData as Size))
  server.listen({ host: "127.0.0.1", port: 0, backlog: 1024 }, () =>
    port.postMessage((server.address() as Net.AddressInfo).port)
  )
}
