import { createHash } from "node:crypto"
import { setImmediate } from "node:timers/promises"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Client from "../../src/client/Client.ts"
import { QueryEngine } from "../../src/engine/QueryEngine.ts"
import * as LiveServer from "../support/LiveServer.ts"

const blockSize = 64 * 1024

/** Blocks that tell which they are, so that bytes in a wrong place are seen. */
const blockAt = (i: number): Buffer => Buffer.alloc(blockSize, `${i} and so on, `)

/** Answers `N` with so many blocks. */
const engine = QueryEngine.of({
  init: (request) =>
    Effect.succeed({
      payload: request,
      chunks: Stream.map(Stream.range(1, Number(new TextDecoder().decode(request))), blockAt)
    })
})

const hashOf = (blocks: number): string => {
  const hash = createHash("sha256")
  for (let i = 1; i <= blocks; i++) hash.update(blockAt(i))
  return hash.digest("hex")
}

const connect = Effect.flatMap(LiveServer.start(engine), ({ address }) => Client.connect(address))

const encode = (blocks: number) => new TextEncoder().encode(String(blocks))

/** Reads a result to its end, with `between` after each batch, which must still be what it was then. */
const read = (
  client: Client.ClientService,
  blocks: number,
  which: "chunks" | "lentChunks",
  between: Effect.Effect<void>,
  before: Effect.Effect<void> = Effect.void
) =>
  Effect.gen(function* () {
    const hash = createHash("sha256")
    const memory = new Set<ArrayBufferLike>()
    const response = yield* client.request(encode(blocks))
    yield* before
    yield* Stream.runForEachArray(response[which], (batch) =>
      Effect.gen(function* () {
        const copies = batch.map((chunk) => Buffer.from(chunk))
        yield* between
        batch.forEach((chunk, i) => void assert.isTrue(copies[i]?.equals(chunk)))
        for (const chunk of batch) {
          hash.update(chunk)
          if (chunk.length >= blockSize / 2) memory.add(chunk.buffer)
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

describe("lent chunks", () => {
  const paces = [
    ["at once", Effect.void],
    ["a while later", aWhile]
  ] as const
  for (const [pace, between] of paces) {
    it.live(`are whole when the consumer has done with them ${pace}, and lie in the same memory`, () =>
      Effect.gen(function* () {
        const client = yield* connect
        const lent = yield* read(client, blocks, "lentChunks", between)
        assert.strictEqual(lent.hash, hashOf(blocks))
        assert.isBelow(lent.pieces, 4)
        const kept = yield* read(client, blocks, "chunks", between)
        assert.strictEqual(kept.hash, hashOf(blocks))
        assert.isAbove(kept.pieces, 16)
      })
    )
  }

  it.live("are whole where much has been read before they are asked for", () =>
    Effect.gen(function* () {
      const client = yield* connect
      for (const between of [Effect.void, aWhile]) {
        const lent = yield* read(client, blocks, "lentChunks", between, aWhile)
        assert.strictEqual(lent.hash, hashOf(blocks))
      }
    })
  )

  it.live("are the consumer's when the response has ended, whatever comes after it", () =>
    Effect.gen(function* () {
      const client = yield* connect
      const last: Array<readonly [chunk: Uint8Array, copy: Buffer]> = []
      // Of one size or another the last read brings enough to be lent.
      for (let blocks = 36; blocks < 44; blocks++) {
        const { lentChunks } = yield* client.request(encode(blocks))
        let batch: ReadonlyArray<Uint8Array> = []
        yield* Stream.runForEachArray(lentChunks, (next) => {
          batch = next
          return aWhile
        })
        for (const chunk of batch) last.push([chunk, Buffer.from(chunk)])
      }
      assert.isTrue(last.some(([chunk]) => chunk.length >= blockSize / 2))
      for (const [chunk, copy] of last) assert.isTrue(copy.equals(chunk))
    })
  )

  it.live("leave alone what an earlier response gave to keep", () =>
    Effect.gen(function* () {
      const client = yield* connect
      const kept = yield* Effect.scoped(
        Effect.flatMap(client.request(encode(40)), ({ chunks }) => Stream.runCollect(chunks))
      )
      yield* read(client, blocks, "lentChunks", Effect.void)
      const expected = Array.from({ length: 40 }, (_, i) => blockAt(i + 1))
      assert.isTrue(Buffer.concat(kept).equals(Buffer.concat(expected)))
    })
  )

  it.live("are cut short like others, and leave the connection to the next", () =>
    Effect.gen(function* () {
      const client = yield* connect
      for (let i = 0; i < 3; i++) {
        const some = yield* Effect.scoped(
          Effect.flatMap(client.request(encode(100_000)), ({ lentChunks }) =>
            Stream.runCount(Stream.take(lentChunks, 20))
          )
        )
        assert.strictEqual(some, 20)
        const whole = yield* read(client, blocks, i % 2 === 0 ? "chunks" : "lentChunks", Effect.void)
        assert.strictEqual(whole.hash, hashOf(blocks))
      }
    })
  )

  it.live("are used once, with the others", () =>
    Effect.gen(function* () {
      const client = yield* connect
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { chunks, lentChunks } = yield* client.request(encode(2))
          yield* Stream.runDrain(lentChunks)
          const again = yield* Effect.exit(Stream.runDrain(chunks))
          assert.strictEqual(again._tag, "Failure")
        })
      )
    })
  )
})
