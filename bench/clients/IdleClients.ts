/**
 * Connections that ask for nothing: `IdleClients.ts PORT COUNT`. Says when all are open, and on each SIGUSR2
 * how many heartbeats have come since the last one.
 */
import { strict as assert } from "node:assert"
import { once } from "node:events"
import * as Net from "node:net"
import * as Message from "../../src/protocol/Message.ts"

const [port = 0, count = 0] = process.argv.slice(2).map(Number)
const heartbeat = Message.encode(Message.make(Message.Type.Heartbeat))
const atOnce = 200
let bytes = 0

const open = async () => {
  const socket = Net.connect({ port, host: "127.0.0.1" })
  await once(socket, "connect")
  socket.on("close", () => assert.fail("the server closed an idle connection"))
  socket.on("data", (data) => {
    assert.equal(data[0], heartbeat[0])
    bytes += data.length
  })
}

for (let opened = 0; opened < count; opened += atOnce) {
  await Promise.all(Array.from({ length: Math.min(atOnce, count - opened) }, open))
}
process.on("SIGUSR2", () => {
  console.log(`heartbeats ${bytes / heartbeat.length}`)
  bytes = 0
})
console.log(`open ${count}`)
