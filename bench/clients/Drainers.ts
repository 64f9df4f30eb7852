/**
 * Clients that read endless responses as fast as they can: `Drainers.ts PORT COUNT`.
 */
import * as Net from "node:net"
import * as Message from "../../src/protocol/Message.ts"
import * as Workload from "../support/Workload.ts"

const [port, count] = process.argv.slice(2).map(Number)
const request = Message.encode(
  Message.make(Message.Type.Request, Buffer.from(Workload.format(Workload.endless)))
)
let bytes = 0

for (let i = 0; i < (count ?? 0); i++) {
  const socket = Net.connect({
    port: port ?? 0,
    host: "127.0.0.1",
    onread: {
      buffer: Buffer.alloc(256 * 1024),
      callback: (read) => {
        bytes += read
        return true
      }
    }
  })
  socket.on("connect", () => socket.write(request))
}

let last = process.hrtime.bigint()
setInterval(() => {
  const now = process.hrtime.bigint()
  console.log(`rate ${Math.round(bytes / (Number(now - last) / 1e9) / 1e6)}`)
  last = now
  bytes = 0
}, 1000)
