/**
 * A client that cancels its streaming response again and again: `Canceller.ts PORT ROUNDS`. Prints the
 * milliseconds from each cancel to its acknowledgement, in percentiles.
 *
 * It looks at headers only and skips the bodies, so that it is faster than the server: otherwise the figure
 * would be the time that it takes to work off what the kernel holds.
 */
import { strict as assert } from "node:assert"
import * as Net from "node:net"
import * as Frame from "../../src/wire/Frame.ts"
import * as Workload from "./Workload.ts"

const [port = 0, rounds = 0] = process.argv.slice(2).map(Number)
const request = Frame.encode(Frame.make(Frame.Type.Request, Buffer.from(Workload.format(Workload.endless))))
const cancel = Frame.encode(Frame.make(Frame.Type.Cancel))
const warmup = 20
const buffer = Buffer.alloc(1024 * 1024)
const latencies: Array<number> = []

let header = Buffer.alloc(0)
let body = 0
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

const onHeader = (type: number, length: number) => {
  body = length
  if (type === Frame.Type.Intermediate) {
    streamed += length
    // The stream is at full speed once a few megabytes of this response have arrived.
    if (streamed > 4 * 1024 * 1024 && sentAt === undefined) {
      sentAt = process.hrtime.bigint()
      socket.write(cancel)
    }
  } else if (type === Frame.Type.CancelAcknowledged) {
    assert.notEqual(sentAt, undefined, "an acknowledgement without a cancel")
    latencies.push(Number(process.hrtime.bigint() - (sentAt ?? 0n)) / 1e6)
    if (latencies.length === rounds + warmup) finish()
    else nextRound()
  } else {
    assert.equal(type, Frame.Type.Accept)
  }
}

const onRead = (bytes: Buffer) => {
  let at = 0
  while (at < bytes.length) {
    if (body > 0) {
      const skipped = Math.min(body, bytes.length - at)
      body -= skipped
      at += skipped
      continue
    }
    const missing = Frame.headerSize - header.length
    header = Buffer.concat([header, bytes.subarray(at, at + missing)])
    at += missing
    if (header.length < Frame.headerSize) return
    const [type, length] = [header[4] ?? 0, header.readUInt32LE(0)]
    header = Buffer.alloc(0)
    onHeader(type, length)
  }
}

const socket = Net.connect({
  port,
  host: "127.0.0.1",
  onread: {
    buffer,
    callback: (read) => {
      onRead(buffer.subarray(0, read))
      return true
    }
  }
})
socket.on("connect", nextRound)
