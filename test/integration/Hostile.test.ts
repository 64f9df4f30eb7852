/**
 * Peers that the server has to survive: whatever one of them does, the others are served.
 */
import { Buffer } from "node:buffer"
import { subscribe, unsubscribe } from "node:diagnostics_channel"
import { type Server, Socket } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import * as ServerConfig from "../../src/server/ServerConfig.ts"
import * as LiveServer from "../support/LiveServer.ts"
import * as Poll from "../support/Poll.ts"
import * as Response from "../support/Response.ts"
import * as TinyEngine from "../support/TinyEngine.ts"

const start = Effect.fnUntraced(function* (config: ServerConfig.Options = {}) {
  const tiny = TinyEngine.make()
  return { tiny, ...(yield* LiveServer.start(tiny.engine, config)) }
})

const frame = (letter: string, body = ""): Buffer => {
  const header = Buffer.alloc(5)
  header.writeUInt32LE(Buffer.byteLength(body))
  header.write(letter, 4)
  return Buffer.concat([header, Buffer.from(body)])
}

const isServed = Effect.fnUntraced(function* (live: LiveServer.LiveServer) {
  const peer = yield* LiveServer.connect(live.address)
  assert.strictEqual(yield* Response.result(peer, "echo served"), "served")
  yield* peer.close
})

type Accepted = Socket & { readonly server?: Server }

/** The server's ends of the connections that are made from now on, as Node has them. */
const serverSockets = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => {
      const sockets: Array<Accepted> = []
      const listener = (message: unknown) => {
        sockets.push((message as { readonly socket: Accepted }).socket)
      }
      subscribe("net.server.socket", listener)
      return { sockets, listener }
    }),
    ({ listener }) => Effect.sync(() => unsubscribe("net.server.socket", listener))
  ),
  ({ sockets }) => sockets
)

describe("a client that vanishes", () => {
  it.live("before it is looked at has no address, and harms nobody", () =>
    Effect.gen(function* () {
      const sockets = yield* serverSockets
      // It is found to be gone when something is written to it.
      const live = yield* start({ heartbeatInterval: "50 millis" })
      yield* isServed(live)
      sockets[0]?.server?.emit("connection", new Socket().destroy())
      assert.strictEqual((yield* live.event("Opened", 1)).connection.remote, "unknown")
      yield* live.event("Closed", 1)
      yield* isServed(live)
    })
  )

  it.live("or comes while there are no descriptors is told in the log, and others are served", () =>
    Effect.gen(function* () {
      const sockets = yield* serverSockets
      const live = yield* start()
      yield* isServed(live)
      // Node reports a failed accept in this way.
      sockets[0]?.server?.emit("error", new Error("accept EMFILE"))
      const told = /^Error: Error \(accept EMFILE\) accepting on 127\.0\.0\.1:/
      yield* Poll.until("the log tells of it", () => told.test(live.log.at(-1) ?? ""))
      yield* isServed(live)
    })
  )

  it.live("by a reset in mid-stream ends its query, and the connection with it", () =>
    Effect.gen(function* () {
      const live = yield* start()
      const client = yield* LiveServer.dial(live.address)
      client.socket.write(frame("R", "endless"))
      yield* Poll.until("data arrives", () => client.received().length > 0)
      client.socket.resetAndDestroy()
      yield* live.event("Closed")
      assert.strictEqual(live.tiny.ended(), 1)
      assert.include(["abort", "fail"], (yield* live.event("Aborted")).query.reason)
      yield* isServed(live)
    })
  )

  it.live("by closing while its query computes in silence ends the query", () =>
    Effect.gen(function* () {
      const live = yield* start()
      for (const request of ["silent", "stuck"]) {
        const client = yield* LiveServer.dial(live.address)
        client.socket.write(frame("R", request))
        yield* Poll.until("the query runs", () => live.tiny.begun() > live.tiny.ended())
        client.socket.destroy()
        yield* Poll.until("the query is interrupted", () => live.tiny.begun() === live.tiny.ended())
      }
      yield* isServed(live)
    })
  )

  it.live("right after it connects is nobody's error", () =>
    Effect.gen(function* () {
      const live = yield* start()
      for (let i = 0; i < 20; i++) {
        const client = yield* LiveServer.dial(live.address)
        client.socket.resetAndDestroy()
      }
      yield* live.event("Closed", 19)
      assert.strictEqual(yield* live.server.connections, 0)
      yield* isServed(live)
    })
  )

  it.live("in the middle of a frame is told apart from one that leaves between two", () =>
    Effect.gen(function* () {
      const live = yield* start()
      const client = yield* LiveServer.dial(live.address)
      client.socket.end(frame("R", "echo").subarray(0, 7))
      const { control, detail } = yield* live.event("Closed")
      assert.strictEqual(control.reason, "read")
      assert.notStrictEqual(detail, "End of file")
    })
  )
})

describe("a client that stops reading", () => {
  it.live("stops its query, holds a bounded amount of it, and is dropped after writeTimeout", () =>
    Effect.gen(function* () {
      const live = yield* start({ writeTimeout: "300 millis" })
      const slow = yield* LiveServer.dial(live.address, { paused: true })
      const other = yield* LiveServer.connect(live.address)
      slow.socket.write(frame("R", "endless"))
      yield* live.event("Accepted")
      // Others are served in the meantime.
      for (let i = 0; i < 50; i++) {
        assert.strictEqual(yield* Response.result(other, `echo ${i}`), String(i))
      }
      yield* live.event("Closed")
      assert.strictEqual(live.tiny.ended(), live.tiny.begun())
      // The buffers of two kernels are in it, which are a few MiB on loopback.
      assert.isBelow(live.tiny.taken(), 64 * 1024 * 1024)
      assert.strictEqual(yield* Response.result(other, "echo still"), "still")
    })
  )

  it.live("is told apart from one that closes the connection", () =>
    Effect.gen(function* () {
      const live = yield* start({ writeTimeout: "100 millis" })
      const slow = yield* LiveServer.dial(live.address, { paused: true })
      slow.socket.write(frame("R", "endless"))
      const { control, detail } = yield* live.event("Closed")
      assert.strictEqual(control.reason, "write")
      assert.include(detail, "writeTimeout")
    })
  )

  it.live("is told apart from one that is slow, however long a write takes", () =>
    Effect.gen(function* () {
      const size = 16 * 1024 * 1024
      const live = yield* start({ writeTimeout: "500 millis", batchSize: size, prefetchSize: size })
      const slow = yield* LiveServer.dial(live.address, { paused: true })
      slow.socket.write(frame("R", "large 32"))
      yield* live.event("Accepted")
      // In this time one write could be given up three times.
      for (let i = 0; i < 16; i++) {
        LiveServer.take(slow, 1024 * 1024)
        yield* Effect.sleep(100)
      }
      slow.socket.resume()
      const end = yield* Effect.raceFirst(live.event("Completed"), live.event("Closed"))
      assert.strictEqual(end._tag === "Closed" ? end.detail : "", "")
    })
  )

  it.live("for a while and goes on gets its result whole", () =>
    Effect.gen(function* () {
      const live = yield* start()
      const slow = yield* LiveServer.dial(live.address, { paused: true })
      slow.socket.write(frame("R", "large 64"))
      let taken = -1
      // The engine stands still when the buffers on the way are full.
      while (taken !== live.tiny.taken() || taken === 0) {
        taken = live.tiny.taken()
        yield* Effect.sleep(20)
      }
      assert.isBelow(taken, 64 * 1024 * 1024)
      let received = 0
      slow.socket.on("data", (chunk) => {
        received += chunk.length
      })
      slow.socket.resume()
      yield* live.event("Completed")
      const payload = 64 * 1024 * 1024
      yield* Poll.until("the result arrives", () => received >= payload)
      assert.strictEqual(live.tiny.taken(), payload)
    })
  )
})

/** What the kernel has not taken of what was written. */
const unsent = (socket: Socket) =>
  (socket as { _handle?: { writeQueueSize: number } })._handle?.writeQueueSize ?? 0

describe("a client that never reads", () => {
  it.live("and leaves when its last answer is on its way takes the socket with it after writeTimeout", () =>
    Effect.gen(function* () {
      const sockets = yield* serverSockets
      const live = yield* start({ writeTimeout: "500 millis" })
      const client = yield* LiveServer.dial(live.address, { paused: true })
      yield* live.event("Opened")
      const socket = sockets[0]
      if (socket === undefined) return assert.fail("the server has no socket")
      const answer = "x".repeat(32 * 1024)
      let stuck = 0
      while (stuck < 20) {
        if (unsent(socket) === 0) {
          stuck = 0
          const before = socket.bytesWritten
          client.socket.write(frame("R", `echo ${answer}`))
          yield* Poll.until("the answer is on its way", () => socket.bytesWritten > before)
        } else {
          stuck++
          yield* Effect.sleep(5)
        }
      }
      client.socket.end()
      const { query } = yield* live.event("Aborted")
      assert.strictEqual(query.reason, "fail")
      yield* live.event("Closed")
      assert.strictEqual(yield* live.server.connections, 0)
      yield* Poll.until("the socket is gone", () => socket.destroyed)
      yield* isServed(live)
    })
  )
})

describe("a client that dribbles", () => {
  it.live("is dropped when its frame takes longer than requestTimeout, however busy it is", () =>
    Effect.gen(function* () {
      const live = yield* start({ requestTimeout: "200 millis" })
      const client = yield* LiveServer.dial(live.address)
      const bytes = frame("R", `echo ${"x".repeat(1000)}`)
      yield* Effect.forkChild(
        Effect.forEach(bytes, (byte) =>
          Effect.andThen(
            Effect.sync(() => client.socket.write(Uint8Array.of(byte))),
            Effect.sleep(10)
          )
        )
      )
      const { control, detail } = yield* live.event("Closed")
      assert.strictEqual(control.reason, "read")
      assert.include(detail, "requestTimeout")
      assert.strictEqual(live.tiny.begun(), 0)
      yield* isServed(live)
    })
  )

  it.live("is dropped when it asks nothing for idleTimeout", () =>
    Effect.gen(function* () {
      const live = yield* start({ idleTimeout: "100 millis" })
      const client = yield* LiveServer.dial(live.address)
      yield* client.closed
      assert.include((yield* live.event("Closed")).detail, "idleTimeout")
    })
  )
})

describe("a client that does not speak the protocol", () => {
  it.live.each(
    Object.entries({
      "an HTTP request": Buffer.from("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
      "a TLS hello": Buffer.from("160301020001000001fc0303", "hex"),
      "the largest length there is": Buffer.from("ffffffff52", "hex"),
      "a length just above maxSkippedSize": Buffer.from([0xfc, 0xff, 0xff, 0x03, 0x52]),
      "an unknown type": frame("Z"),
      "a type of lower case": frame("r", "echo"),
      "a server's message": frame("A", "echo"),
      "a heartbeat": frame("H"),
      "a cancel of nothing": frame("C"),
      "a cancel with a body": frame("C", "now")
    })
  )("by sending %s is closed without an answer", ([, bytes]) =>
    Effect.gen(function* () {
      const live = yield* start()
      const client = yield* LiveServer.dial(live.address)
      client.socket.write(bytes)
      assert.strictEqual((yield* client.closed).length, 0)
      assert.strictEqual((yield* live.event("Closed")).control.reason, "protocol")
      assert.strictEqual(live.tiny.begun(), 0)
      yield* isServed(live)
    })
  )

  it.live("may send a frame of exactly maxFrameSize", () =>
    Effect.gen(function* () {
      const { maxFrameSize } = ServerConfig.defaults
      const live = yield* start()
      const peer = yield* LiveServer.connect(live.address)
      const text = "x".repeat(maxFrameSize - 5 - "echo ".length)
      assert.strictEqual(yield* Response.result(peer, `echo ${text}`), text)
    })
  )

  it.live("cannot stop the server with any bytes", () =>
    Effect.gen(function* () {
      const live = yield* start()
      const inputs = fc.sample(fc.uint8Array({ minLength: 1, maxLength: 200 }), { numRuns: 200, seed: 1 })
      yield* Effect.forEach(
        inputs,
        (bytes) =>
          Effect.scoped(
            Effect.gen(function* () {
              const client = yield* LiveServer.dial(live.address)
              client.socket.end(bytes)
              yield* client.closed
            })
          ),
        { concurrency: 8, discard: true }
      )
      yield* live.event("Closed", inputs.length - 1)
      assert.strictEqual(yield* live.server.connections, 0)
      assert.strictEqual(live.tiny.ended(), live.tiny.begun())
      yield* isServed(live)
    })
  )

  it.live("cannot make memory of lengths that it only claims", () =>
    Effect.gen(function* () {
      const live = yield* start({ maxFrameSize: 1024 * 1024 * 1024 })
      const before = process.memoryUsage().arrayBuffers
      const clients = yield* Effect.replicateEffect(LiveServer.dial(live.address), 20)
      for (const { socket } of clients) socket.write(Buffer.from([0x00, 0x00, 0x00, 0x30, 0x52, 0x41]))
      yield* live.event("Opened", 19)
      yield* isServed(live)
      assert.isBelow(process.memoryUsage().arrayBuffers - before, 128 * 1024 * 1024)
    })
  )
})
