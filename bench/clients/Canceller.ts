/**
 * A client that cancels its streaming response again and again: `Canceller.ts PORT ROUNDS`. Prints the
 * milliseconds from each cancel to its acknowledgement.
 *
 * It looks at headers only and skips the bodies, so that it is faster than the server: otherwise the figure
 * would be the time that it takes to work off what the kernel holds.
 */
import { strict as assert } from "node:assert"
import * as Message from "../../src/protocol/Message.ts"
import * as FrameReader from "../support/FrameReader.ts"
import * as LoadSocket from "../support/LoadSocket.ts"
import * as Workload from "../support/Workload.ts"

const [port = 0, rounds = 0] = process.argv.slice(2).map(Number)
const request = Message.encode(
  Message.make(Message.Type.Request, Buffer.from(Workload.format(Workload.endless)))
)
const cancel = Message.encode(Message.make(Message.Type.Cancel))
/** The stream is at full speed once so much of a response has arrived. */
const fullSpeed = 4 * 1024 * 1024
const warmup = Math.min(20, rounds)
const latencies: Array<number> = []

let sentAt: bigint | undefined
let streamed = 0

const nextRound = () => {
  streamed = 0
  sentAt = undefined
  socket.write(request)
}

const read = FrameReader.make({
  onHeader: (type, length) => {
    if (type === Message.Type.Intermediate) {
      streamed += length
      if (streamed <= fullSpeed || sentAt !== undefined) return
      sentAt = process.hrtime.bigint()
      socket.write(cancel)
    } else if (type !== Message.Type.CancelAcknowledged) {
      assert.equal(type, Message.Type.Accept)
    }
  },
  onEnd: (type) => {
    if (type !== Message.Type.CancelAcknowledged) return
    assert(sentAt !== undefined, "an acknowledgement without a cancel")
    latencies.push(Number(process.hrtime.bigint() - sentAt) / 1e6)
    if (latencies.length < rounds + warmup) return nextRound()
    console.log(`latencies ${JSON.stringify(latencies.slice(warmup))}`)
    socket.destroy()
  }
})

const socket = LoadSocket.open(port, read)
socket.on("connect", nextRound)
