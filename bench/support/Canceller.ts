/**
 * A client that cancels its streaming response again and again: `Canceller.ts PORT ROUNDS`. Prints the
 * milliseconds from each cancel to its acknowledgement, in percentiles.
 */
import { strict as assert } from "node:assert"
import * as Net from "node:net"
import * as Frame from "../../src/wire/Frame.ts"

const [port = 0, rounds = 0] = process.argv.slice(2).map(Number)
const request = Frame.encode(Frame.make(Frame.Type.Request))
const cancel = Frame.encode(Frame.make(Frame.Type.Cancel))
const warmup = 20

const socket = Net.connect({ port, host: "127.0.0.1" })
const decoder = Frame.makeDecoder({ ...Frame.defaultOptions, maxFrameSize: 16 * 1024 * 1024 })
const latencies: Array<number> = []
let sentAt: bigint | undefined
let streamed = 0

const nextRound = () => {
  streamed = 0
  sentAt = undefined
  socket.write(request)
}

const finish = () => {
  const sorted = latencies.slice(warmup).sort((a, b) => a - b)
  const at = (share: number) => Number(sorted[Math.floor((sorted.length - 1) * share)]?.toFixed(3))
  console.log(`latency ${JSON.stringify({ p50: at(0.5), p99: at(0.99), max: at(1) })}`)
  socket.destroy()
}

socket.on("connect", nextRound)
socket.on("data", (chunk) => {
  const frames: Array<Frame.Frame> = []
  assert.equal(decoder.push(chunk as Buffer, frames), undefined)
  for (const frame of frames) {
    if (frame.type === Frame.Type.Intermediate) {
      streamed += frame.body.length
      // The stream is at full speed once a few megabytes of this response have arrived.
      if (streamed > 4 * 1024 * 1024 && sentAt === undefined) {
        sentAt = process.hrtime.bigint()
        socket.write(cancel)
      }
    } else if (frame.type === Frame.Type.CancelAcknowledged) {
      assert.notEqual(sentAt, undefined, "an acknowledgement without a cancel")
      latencies.push(Number(process.hrtime.bigint() - (sentAt ?? 0n)) / 1e6)
      if (latencies.length === rounds + warmup) finish()
      else nextRound()
    } else {
      assert.equal(frame.type, Frame.Type.Accept)
    }
  }
})
