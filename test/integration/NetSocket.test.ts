import { Buffer } from "node:buffer"
import * as Net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import * as Address from "../../src/wire/Address.ts"
import * as NetSocket from "../../src/wire/NetSocket.ts"
import * as Poll from "../support/Poll.ts"

/** A connection over loopback: the socket under test, and the peer as Node has it. */
const pair = Effect.gen(function* () {
  const server = Net.createServer({ noDelay: true, pauseOnConnect: true })
  yield* Effect.addFinalizer(() => Effect.sync(() => server.close()))
  yield* Effect.callback<void>((resume) => {
    server.listen(0, "127.0.0.1", () => resume(Effect.void))
  })
  const { port } = server.address() as Net.AddressInfo
  const accepted = yield* Effect.forkChild(
    Effect.callback<Net.Socket>((resume) => {
      server.once("connection", (socket) => resume(Effect.succeed(socket)))
    }),
    { startImmediately: true }
  )
  const peer = Net.connect({ port, host: "127.0.0.1", allowHalfOpen: true })
  peer.on("error", () => {})
  yield* Effect.addFinalizer(() => Effect.sync(() => peer.destroy()))
  const near = yield* Fiber.join(accepted)
  near.on("error", () => {})
  yield* Effect.addFinalizer(() => Effect.sync(() => near.destroy()))
  return { near, peer, socket: NetSocket.make(near) }
})

const reason = (error: Socket.SocketError) => error.reason._tag
const megabytes = 1024 * 1024
const large = Buffer.alloc(64 * megabytes, "abcdefg")

/** Pulls until the input ends, and gives how it ended and all that came. */
const readAll = Effect.fnUntraced(function* (pull: Socket.Reader["pull"]) {
  const chunks: Array<Uint8Array> = []
  const error = yield* Effect.flip(
    Effect.forever(
      Effect.map(pull, (batch) => {
        for (const chunk of batch) chunks.push(chunk as Uint8Array)
      })
    )
  )
  return { bytes: Buffer.concat(chunks), error }
})

describe("reading", () => {
  it.live("brings what the peer sends, and then that it closed", () =>
    Effect.gen(function* () {
      const { peer, socket } = yield* pair
      const { pull } = yield* socket.reader
      peer.end("all of it")
      const { bytes, error } = yield* readAll(pull)
      assert.strictEqual(bytes.toString(), "all of it")
      assert.deepInclude(error.reason, { _tag: "SocketCloseError", code: 1000 })
    })
  )

  it.live("holds the peer back while nobody pulls, and loses nothing", () =>
    Effect.gen(function* () {
      const { near, peer, socket } = yield* pair
      const { pull } = yield* socket.reader
      peer.end(large)
      const [first] = yield* pull
      // Node reads on until its own buffer is full.
      yield* Poll.until(
        "Node's buffer is full",
        () => near.isPaused() && near.readableLength >= near.readableHighWaterMark
      )
      assert.isBelow(near.bytesRead, megabytes)
      assert.isAbove(peer.writableLength, 0)
      const { bytes } = yield* readAll(pull)
      assert.strictEqual(Buffer.compare(Buffer.concat([first as Uint8Array, bytes]), large), 0)
    })
  )

  it.live("goes on after a pull that was interrupted", () =>
    Effect.gen(function* () {
      const { peer, socket } = yield* pair
      const { pull } = yield* socket.reader
      const waiting = yield* Effect.forkChild(pull, { startImmediately: true })
      yield* Fiber.interrupt(waiting)
      peer.end("late")
      assert.strictEqual((yield* readAll(pull)).bytes.toString(), "late")
    })
  )

  it.live("fails when the peer resets the connection", () =>
    Effect.gen(function* () {
      const { peer, socket } = yield* pair
      const { pull } = yield* socket.reader
      peer.resetAndDestroy()
      assert.strictEqual(reason((yield* readAll(pull)).error), "SocketReadError")
    })
  )

  it.live("fails when its scope closes, which closes the socket", () =>
    Effect.gen(function* () {
      const { near, peer, socket } = yield* pair
      const scope = yield* Scope.make()
      const { pull } = yield* Scope.provide(socket.reader, scope)
      const waiting = yield* Effect.forkChild(Effect.flip(pull), { startImmediately: true })
      yield* Scope.close(scope, Exit.void)
      assert.deepInclude((yield* Fiber.join(waiting)).reason, { _tag: "SocketCloseError", code: 1006 })
      peer.resume().end()
      yield* Poll.until("both ends are closed", () => near.closed && peer.closed)
    })
  )
})

describe("writing", () => {
  it.live("is over when the kernel has it all", () =>
    Effect.gen(function* () {
      const { near, peer, socket } = yield* pair
      const writer = yield* socket.writer
      yield* writer.writeAll([Buffer.from("a"), Buffer.from("b")])
      assert.strictEqual(near.writableLength, 0)
      const writing = yield* Effect.forkChild(writer.writeAll([large, Buffer.from("!")]), {
        startImmediately: true
      })
      yield* Poll.until("the large write has begun", () => near.bytesWritten > 2)
      assert.isUndefined(writing.pollUnsafe())
      let received = 0
      peer.on("data", (chunk) => {
        received += chunk.length
      })
      yield* Fiber.join(writing)
      assert.strictEqual(near.writableLength, 0)
      yield* Poll.until("all has arrived", () => received === large.length + 3)
    })
  )

  it.live("fails when the peer resets the connection, and ever after", () =>
    Effect.gen(function* () {
      const { near, peer, socket } = yield* pair
      const writer = yield* socket.writer
      const writing = yield* Effect.forkChild(Effect.flip(writer.write(large)), { startImmediately: true })
      peer.resetAndDestroy()
      assert.strictEqual(reason(yield* Fiber.join(writing)), "SocketWriteError")
      yield* Poll.until("the socket is closed", () => near.closed)
      assert.strictEqual(reason(yield* Effect.flip(writer.write(Buffer.from("more")))), "SocketWriteError")
    })
  )

  it.live("ends with its scope, and what the peer sends still comes", () =>
    Effect.gen(function* () {
      const { peer, socket } = yield* pair
      const { pull } = yield* socket.reader
      const scope = yield* Scope.make()
      const writer = yield* Scope.provide(socket.writer, scope)
      yield* writer.write(Buffer.from("last"))
      let received = ""
      let ended = false
      peer.on("data", (chunk) => {
        received += chunk.toString()
      })
      peer.on("end", () => {
        ended = true
      })
      yield* Scope.close(scope, Exit.void)
      yield* Poll.until("the peer has read the end", () => ended)
      assert.strictEqual(received, "last")
      peer.end("answer")
      assert.strictEqual((yield* readAll(pull)).bytes.toString(), "answer")
    })
  )
})

describe("connecting", () => {
  it.live("fails where nobody listens, with the system's word for it", () =>
    Effect.gen(function* () {
      const { peer } = yield* pair
      // A port that is taken by a client's end, so that nobody listens on it.
      const address = Address.tcp("127.0.0.1", peer.localPort)
      const error = yield* Effect.flip(NetSocket.connect({ address, timeout: "10 seconds" }))
      assert.strictEqual(reason(error), "SocketOpenError")
      assert.include(String("cause" in error.reason ? error.reason.cause : ""), "ECONNREFUSED")
    })
  )
})
