import { Buffer } from "node:buffer"
import { setImmediate } from "node:timers/promises"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Socket from "effect/socket/Socket"
import * as Address from "../../src/net/Address.ts"
import * as Chunk from "../../src/net/Chunk.ts"
import * as Tcp from "../../src/net/Tcp.ts"
import type * as Transport from "../../src/net/Transport.ts"
import * as Poll from "../support/Poll.ts"
import { dialled, pair } from "../support/TcpPair.ts"

const megabytes = 1024 * 1024
const large = Buffer.alloc(64 * megabytes, "abcdefg")

/** Keeps what it is given: as it is, or copied and released at once. */
class Keeper implements Transport.Receiver {
  private readonly releases: boolean
  private readonly chunks: Array<Uint8Array> = []
  private end: Socket.SocketError | undefined

  constructor(releases = false) {
    this.releases = releases
  }
  received(chunks: Transport.Chunks): void {
    assert.isUndefined(this.end)
    this.chunks.push(...(this.releases ? chunks.map(Chunk.keep) : chunks))
  }
  ended(cause: Cause.Cause<Socket.SocketError>): void {
    assert.isUndefined(this.end)
    this.end = Cause.squash(cause) as Socket.SocketError
  }
  get hasEnded(): boolean {
    return this.end !== undefined
  }
  get error(): Socket.SocketError | undefined {
    return this.end
  }
  get bytes(): Buffer {
    return Buffer.concat(this.chunks)
  }
  get size(): number {
    return this.chunks.reduce((bytes, chunk) => bytes + chunk.length, 0)
  }
  get text(): string {
    return this.bytes.toString()
  }
}

const read = (transport: Transport.Transport): Keeper => {
  const keeper = new Keeper()
  transport.read(keeper)
  return keeper
}

const ended = (keeper: Keeper) => Poll.until("the input has ended", () => keeper.hasEnded)

const write = (transport: Transport.Transport, ...parts: ReadonlyArray<Buffer>) =>
  Effect.callback<void, Socket.SocketError>((resume) => {
    const exit = transport.write(parts as unknown as Transport.Chunks, resume)
    if (exit !== undefined) resume(exit)
  })

/** What a receiver may take before it has done with what it was given: turns in which sockets are polled. */
const aWhile = Effect.repeat(
  Effect.promise(() => setImmediate()),
  { times: 5 }
)

const reason = (error: Socket.SocketError | undefined) => error?.reason._tag

describe("reading", () => {
  it.live("brings what the peer sends, and then that it closed", () =>
    Effect.gen(function* () {
      const { peer, transport } = yield* pair
      const keeper = read(transport)
      peer.end("all of it")
      yield* ended(keeper)
      assert.strictEqual(keeper.text, "all of it")
      assert.deepInclude(keeper.error?.reason, { _tag: "SocketCloseError", code: 1000 })
    })
  )

  it.live("brings chunks that may be kept, of many sockets that read into the same memory", () =>
    Effect.gen(function* () {
      const pairs = yield* Effect.all([pair, pair, pair])
      const keepers = pairs.map(({ transport }) => read(transport))
      const sentBy = (i: number) => Buffer.alloc(3 * megabytes + i, `${i} to the end `)
      pairs.forEach(({ peer }, i) => void peer.end(sentBy(i)))
      yield* Poll.until("all has arrived", () => keepers.every((keeper) => keeper.hasEnded))
      keepers.forEach((keeper, i) => void assert.isTrue(keeper.bytes.equals(sentBy(i))))
    })
  )

  it.live("gives what came before it began, and then what comes", () =>
    Effect.gen(function* () {
      const { near, peer, transport } = yield* pair
      near.resume()
      near.pause()
      peer.write("early, ")
      yield* Poll.until("Node has read it", () => near.readableLength > 0)
      const keeper = read(transport)
      peer.end("late")
      yield* ended(keeper)
      assert.strictEqual(keeper.text, "early, late")
    })
  )

  it.live("brings nothing before it begins, and loses nothing of what came until then", () =>
    Effect.gen(function* () {
      const { near, peer, transport } = yield* pair
      peer.end("early")
      yield* Poll.until("the peer has sent it", () => peer.writableFinished)
      assert.strictEqual(near.bytesRead, 0)
      const keeper = read(transport)
      yield* ended(keeper)
      assert.strictEqual(keeper.text, "early")
    })
  )

  it.live("holds the peer back while it is paused, and loses nothing", () =>
    Effect.gen(function* () {
      const { near, peer, transport } = yield* pair
      const keeper = read(transport)
      transport.pause()
      peer.end(large)
      yield* Poll.until("no more is read", () => near.isPaused())
      assert.isBelow(near.bytesRead, megabytes)
      assert.isAbove(peer.writableLength, 0)
      assert.lengthOf(keeper.bytes, 0)
      transport.resume()
      yield* ended(keeper)
      assert.strictEqual(Buffer.compare(keeper.bytes, large), 0)
    })
  )

  it.live("keeps the end back while it is paused", () =>
    Effect.gen(function* () {
      const { near, peer, transport } = yield* pair
      const keeper = read(transport)
      transport.pause()
      peer.end("last")
      yield* Poll.until("the end has been read", () => near.readableEnded)
      assert.isFalse(keeper.hasEnded)
      assert.strictEqual(keeper.text, "")
      transport.resume()
      assert.strictEqual(keeper.text, "last")
      assert.deepInclude(keeper.error?.reason, { _tag: "SocketCloseError", code: 1000 })
    })
  )

  it.live("fails when the peer resets the connection", () =>
    Effect.gen(function* () {
      const { peer, transport } = yield* pair
      const keeper = read(transport)
      peer.resetAndDestroy()
      yield* ended(keeper)
      assert.strictEqual(reason(keeper.error), "SocketReadError")
    })
  )

  it.live("is over when its scope closes, which closes the socket after what was written", () =>
    Effect.gen(function* () {
      const { close, near, peer, transport } = yield* pair
      const keeper = read(transport)
      let received = 0
      transport.write([large], () => assert.fail("told of a write after its scope was closed"))
      yield* close
      peer.write("nobody listens")
      peer.on("data", (chunk) => {
        received += chunk.length
      })
      peer.end()
      yield* Poll.until("both ends are closed", () => near.closed && peer.closed)
      assert.strictEqual(received, large.length)
      assert.isFalse(keeper.hasEnded)
      assert.lengthOf(keeper.bytes, 0)
    })
  )
})

describe("writing", () => {
  it.live("is over when the kernel has it all", () =>
    Effect.gen(function* () {
      const { near, peer, transport } = yield* pair
      const small = transport.write([Buffer.from("a"), Buffer.from("b")], () => assert.fail("told twice"))
      assert.deepStrictEqual(small, Exit.void)
      assert.strictEqual(transport.unsent(), 0)
      const writing = yield* Effect.forkChild(write(transport, large, Buffer.from("!")), {
        startImmediately: true
      })
      yield* Poll.until("the large write has begun", () => near.bytesWritten > 2)
      assert.isUndefined(writing.pollUnsafe())
      assert.isAbove(transport.unsent(), 0)
      let received = 0
      peer.on("data", (chunk) => {
        received += chunk.length
      })
      yield* Fiber.join(writing)
      assert.strictEqual(transport.unsent(), 0)
      yield* Poll.until("all has arrived", () => received === large.length + 3)
    })
  )

  it.live("is told of once, also if the connection breaks after it", () =>
    Effect.gen(function* () {
      const { near, peer, transport } = yield* pair
      let told = 0
      assert.deepStrictEqual(
        transport.write([Buffer.from("a")], () => told++),
        Exit.void
      )
      const keeper = read(transport)
      peer.resetAndDestroy()
      yield* ended(keeper)
      yield* Poll.until("the socket is closed", () => near.closed)
      assert.strictEqual(told, 0)
    })
  )

  it.live("fails when this side has ended, and ever after", () =>
    Effect.gen(function* () {
      const { near, transport } = yield* pair
      near.end()
      yield* Poll.until("this side has ended", () => near.writableFinished)
      for (const parts of [[Buffer.from("a")], [Buffer.from("a"), Buffer.from("b")]] as const) {
        assert.isTrue(Exit.isFailure(yield* Effect.exit(write(transport, ...parts))))
      }
    })
  )

  it.live("fails when the peer resets the connection, and ever after", () =>
    Effect.gen(function* () {
      const { near, peer, transport } = yield* pair
      const writing = yield* Effect.forkChild(Effect.flip(write(transport, large)), {
        startImmediately: true
      })
      peer.resetAndDestroy()
      assert.strictEqual(reason(yield* Fiber.join(writing)), "SocketWriteError")
      yield* Poll.until("the socket is closed", () => near.closed)
      const more = yield* Effect.flip(write(transport, Buffer.from("more")))
      assert.strictEqual(reason(more), "SocketWriteError")
    })
  )

  it.live("fails when the connection is dropped", () =>
    Effect.gen(function* () {
      const { peer, transport } = yield* pair
      const keeper = read(transport)
      const writing = yield* Effect.forkChild(Effect.flip(write(transport, large)), {
        startImmediately: true
      })
      transport.destroy()
      assert.strictEqual(reason(yield* Fiber.join(writing)), "SocketWriteError")
      yield* ended(keeper)
      const end = keeper.error?.reason
      assert.strictEqual(end?._tag === "SocketCloseError" ? end.code : end?._tag, 1006)
      peer.resume()
      yield* Poll.until("the peer knows", () => peer.readableEnded || peer.destroyed)
    })
  )
})

describe("connecting", () => {
  it.live(
    "gives a transport that brings all, little and much, and holds the peer back while it is paused",
    () =>
      Effect.gen(function* () {
        const transport = yield* dialled((peer) => {
          peer.write("a little")
          peer.once("data", () => peer.end(large))
        })
        const keeper = read(transport)
        yield* Poll.until("a little has come", () => keeper.text === "a little")
        let before = keeper.size
        yield* write(transport, Buffer.from("much"))
        while (!keeper.hasEnded) {
          transport.pause()
          yield* Effect.promise(() => setImmediate())
          assert.strictEqual(keeper.size, before)
          transport.resume()
          assert.isBelow(keeper.size - before, megabytes)
          before = keeper.size
        }
        assert.strictEqual(Buffer.compare(keeper.bytes, Buffer.concat([Buffer.from("a little"), large])), 0)
      })
  )

  it.live("reads into the same memory again where chunks are released, however the receiver pauses", () =>
    Effect.gen(function* () {
      const transport = yield* dialled((peer) => peer.end(large))
      const keeper = new Keeper(true)
      const buffers = new Set<ArrayBufferLike>()
      let held: ReadonlyArray<readonly [chunk: Uint8Array, copy: Buffer]> = []
      transport.read({
        received: (chunks) => {
          held = [...held, ...chunks.map((chunk) => [chunk, Buffer.from(chunk)] as const)]
          transport.pause()
        },
        ended: (cause) => keeper.ended(cause)
      })
      while (!keeper.hasEnded) {
        yield* aWhile
        for (const [chunk, copy] of held) {
          // Whatever was read meanwhile, nothing was read into a chunk that is held.
          assert.isTrue(copy.equals(chunk))
          if (Chunk.isOwned(chunk)) buffers.add(chunk.buffer)
          keeper.received([chunk])
        }
        held = []
        transport.resume()
      }
      assert.isTrue(keeper.bytes.equals(large))
      assert.isAbove(buffers.size, 0)
      assert.isBelow(buffers.size, 10)
    })
  )

  it.live("fails where nobody listens, with the system's word for it", () =>
    Effect.gen(function* () {
      const { peer } = yield* pair
      // A port that is taken by a client's end, so that nobody listens on it.
      const address = Address.tcp("127.0.0.1", peer.localPort)
      const error = yield* Effect.flip(Tcp.connect({ address, timeout: "10 seconds" }))
      assert.strictEqual(reason(error), "SocketOpenError")
      assert.include(String("cause" in error.reason ? error.reason.cause : ""), "ECONNREFUSED")
    })
  )
})
