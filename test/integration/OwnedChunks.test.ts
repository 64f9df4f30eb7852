import { createHash } from "node:crypto"
import * as Net from "node:net"
import { setImmediate } from "node:timers/promises"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { vi } from "vitest"
import * as Client from "../../src/client/Client.ts"
import { QueryEngine, QueryFailed, QueryRejected } from "../../src/engine/QueryEngine.ts"
import * as Chunk from "../../src/net/Chunk.ts"
import * as LiveServer from "../support/LiveServer.ts"
import * as Poll from "../support/Poll.ts"

const blockSize = 64 * 1024

/** Blocks that tell which they are, so that bytes in a wrong place are seen. */
const blockAt = (i: number): Buffer => Buffer.alloc(blockSize, `${i} and so on, `)

const decoder = new TextDecoder()

/** Answers `N` with so many blocks. */
const engine = QueryEngine.of({
  init: (request) =>
    Effect.succeed({
      payload: request,
      chunks: Stream.map(Stream.range(1, Number(decoder.decode(request))), blockAt)
    })
})

const all = (blocks: number): Buffer =>
  Buffer.concat(Array.from({ length: blocks }, (_, i) => blockAt(i + 1)))

const hashOf = (blocks: number): string => {
  const hash = createHash("sha256")
  for (let i = 1; i <= blocks; i++) hash.update(blockAt(i))
  return hash.digest("hex")
}

const connect = Effect.flatMap(LiveServer.start(engine), ({ address }) => Client.connect(address))

const encode = (blocks: number) => new TextEncoder().encode(String(blocks))

const chunksOf = (client: Client.ClientService, blocks: number) =>
  Stream.unwrap(Effect.map(client.request(encode(blocks)), ({ chunks }) => chunks))

/**
 * Reads a result to its end and releases each batch after `between`, when it must still be what it was. Gives the hash
 * of all, and in how many pieces of memory large chunks lay.
 */
const readAndRelease = (client: Client.ClientService, blocks: number, between: Effect.Effect<void>) =>
  Effect.gen(function* () {
    const hash = createHash("sha256")
    const memory = new Set<ArrayBufferLike>()
    yield* Stream.runForEachArray(chunksOf(client, blocks), (batch) =>
      Effect.gen(function* () {
        const copies = batch.map((chunk) => Buffer.from(chunk))
        yield* between
        batch.forEach((chunk, i) => void assert.isTrue(copies[i]?.equals(chunk)))
        for (const chunk of batch) {
          hash.update(chunk)
          if (chunk.length >= blockSize / 2) memory.add(chunk.buffer)
          Chunk.release(chunk)
        }
      })
    )
    return { hash: hash.digest("hex"), pieces: memory.size }
  }).pipe(Effect.scoped)

const blocks = 512

/** What a consumer may take for a batch: turns in which sockets are polled. */
const aWhile = Effect.repeat(
  Effect.promise(() => setImmediate()),
  { times: 4 }
)

describe("a consumer that releases chunks", () => {
  for (const [pace, between] of [
    ["at once", Effect.void],
    ["a while later", aWhile]
  ] as const) {
    it.live(`${pace} has the same memory read into again, and never sees other bytes`, () =>
      Effect.gen(function* () {
        const client = yield* connect
        for (let i = 0; i < 2; i++) {
          const { hash, pieces } = yield* readAndRelease(client, blocks, between)
          assert.strictEqual(hash, hashOf(blocks))
          assert.isAtLeast(pieces, 1)
          assert.isAtMost(pieces, 8)
        }
      })
    )
  }

  it.live("leaves alone what an earlier response gave to one that keeps them", () =>
    Effect.gen(function* () {
      const client = yield* connect
      const kept = yield* Stream.runCollect(chunksOf(client, 40)).pipe(Effect.scoped)
      yield* readAndRelease(client, blocks, Effect.void)
      assert.isTrue(Buffer.concat(kept).equals(all(40)))
    })
  )

  it.live("may stop in the middle, and leaves the connection to the next", () =>
    Effect.gen(function* () {
      const client = yield* connect
      for (let i = 0; i < 3; i++) {
        const some = Stream.take(chunksOf(client, 100_000), 20)
        yield* Effect.scoped(Stream.runForEach(some, (chunk) => Effect.sync(() => Chunk.release(chunk))))
        const { hash } = yield* readAndRelease(client, blocks, Effect.void)
        assert.strictEqual(hash, hashOf(blocks))
      }
    })
  )
})

describe("a consumer that keeps chunks has them whole", () => {
  type Chunks<E, R> = Stream.Stream<Uint8Array, E, R>
  const collect = <E, R>(chunks: Chunks<E, R>) => Stream.runCollect(chunks)
  const ways: Record<string, <E, R>(chunks: Chunks<E, R>) => Effect.Effect<ReadonlyArray<Uint8Array>, E, R>> =
    {
      "with runCollect": collect,
      "through a buffer": (chunks) => collect(Stream.buffer(chunks, { capacity: 16 })),
      "handled several at a time": (chunks) =>
        collect(Stream.mapEffect(chunks, (chunk) => Effect.as(aWhile, chunk), { concurrency: 8 })),
      regrouped: (chunks) =>
        Effect.map(Stream.runCollect(Stream.grouped(chunks, 7)), (groups) => groups.flat())
    }
  for (const [name, way] of Object.entries(ways)) {
    it.live(name, () =>
      Effect.gen(function* () {
        const client = yield* connect
        const kept: Array<ReadonlyArray<Uint8Array>> = []
        for (let i = 0; i < 3; i++) kept.push(yield* Effect.scoped(way(chunksOf(client, 100))))
        for (const chunks of kept) assert.isTrue(Buffer.concat(chunks).equals(all(100)))
      })
    )
  }
})

describe("a relay from a client's connection to a server's", () => {
  /** Answers as the client's server does, chunk by chunk, and counts what becomes of the chunks. */
  const relay = (client: Client.ClientService) => {
    const memory = new Set<ArrayBufferLike>()
    const released = new Map<Uint8Array, number>()
    let bytes = 0
    /** The chunk itself would do: this one tells when it is released. */
    const watched = (chunk: Uint8Array): Uint8Array => {
      memory.add(chunk.buffer)
      bytes += chunk.length
      const view = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length)
      released.set(view, 0)
      return Chunk.owned(view, () => {
        released.set(view, (released.get(view) ?? 0) + 1)
        Chunk.release(chunk)
      })
    }
    const relaying = QueryEngine.of({
      init: (request) =>
        Effect.map(
          Effect.mapError(client.request(request), () => new QueryRejected({ payload: request })),
          ({ chunks, payload }) => ({
            payload,
            chunks: Stream.map(
              Stream.mapError(chunks, () => new QueryFailed({ payload: request })),
              watched
            )
          })
        )
    })
    return {
      engine: relaying,
      memory,
      bytes: () => bytes,
      counts: () => [...released.values()]
    }
  }

  /** How many bytes of these pieces of memory sockets are given to write while the effect runs. */
  const writtenFrom = <A, E, R>(memory: ReadonlySet<ArrayBufferLike>, effect: Effect.Effect<A, E, R>) =>
    Effect.suspend(() => {
      let written = 0
      const prototype = Net.Socket.prototype as unknown as {
        _writev: (entries: ReadonlyArray<{ readonly chunk: Uint8Array }>, written: () => void) => void
      }
      const { _writev } = prototype
      const spy = vi.spyOn(prototype, "_writev").mockImplementation(function (this: unknown, entries, then) {
        for (const { chunk } of entries) if (memory.has(chunk.buffer)) written += chunk.length
        return _writev.call(this, entries, then)
      })
      return Effect.ensuring(
        Effect.map(effect, (result) => ({ result, written })),
        Effect.sync(() => spy.mockRestore())
      )
    })

  it.live("copies no body, and releases each chunk once", () =>
    Effect.gen(function* () {
      const relayed = relay(yield* connect)
      const { address } = yield* LiveServer.start(relayed.engine)
      const client = yield* Client.connect(address)
      const { result, written } = yield* writtenFrom(
        relayed.memory,
        readAndRelease(client, blocks, Effect.void)
      )
      assert.strictEqual(result.hash, hashOf(blocks))
      assert.strictEqual(relayed.bytes(), blocks * blockSize)
      assert.isAtLeast(written, blocks * blockSize)
      yield* Poll.until("all are released", () => relayed.counts().every((count) => count > 0))
      assert.deepStrictEqual(new Set(relayed.counts()), new Set([1]))
    })
  )

  it.live("releases each chunk once when its consumer leaves, too", () =>
    Effect.gen(function* () {
      const relayed = relay(yield* connect)
      const { address } = yield* LiveServer.start(relayed.engine)
      const client = yield* Client.connect(address)
      for (let i = 0; i < 5; i++) {
        yield* Effect.scoped(Stream.runDrain(Stream.take(chunksOf(client, 100_000), 10)))
        yield* Poll.until("all are released", () => relayed.counts().every((count) => count > 0))
        assert.deepStrictEqual(new Set(relayed.counts()), new Set([1]))
      }
      assert.strictEqual((yield* readAndRelease(client, blocks, Effect.void)).hash, hashOf(blocks))
    })
  )
})
