import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Chunk from "../../src/net/Chunk.ts"
import { ReadMemory } from "../../src/net/ReadMemory.ts"

/** That of a socket whose last read was as long as it could be. */
const large = (): ReadMemory => {
  const memory = new ReadMemory()
  memory.take(memory.room().length)
  return memory
}

/** Reads as a socket does: fills the room from its start with bytes that tell this read from the others. */
const read = (memory: ReadMemory, length: number, mark: number): Uint8Array => {
  memory.room().fill(mark, 0, length)
  return memory.take(length)
}

describe("memory to read into", () => {
  it("is not written again where what was read of it lies", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 64 * 1024 }), { maxLength: 50 }), (lengths) => {
        const memory = large()
        const chunks = lengths.map((length, i) => read(memory, Math.min(length, memory.room().length), i))
        for (const [i, chunk] of chunks.entries()) {
          assert.isTrue(chunk.every((byte) => byte === i))
        }
      })
    )
  })

  it("has room for 64 KiB at least once a read was as long as it could be, and little before that", () => {
    const memory = new ReadMemory()
    assert.isAtMost(memory.room().length, 16 * 1024)
    memory.take(memory.room().length - 1)
    assert.isAtMost(memory.room().length, 16 * 1024)
    memory.take(memory.room().length)
    for (let i = 0; i < 20; i++) {
      assert.isAtLeast(memory.room().length, 64 * 1024)
      memory.take(60_000)
    }
  })

  it("is kept alive by much that was read, which is not copied, and not by a little", () => {
    const memory = large()
    const room = memory.room()
    assert.notStrictEqual(read(memory, 2000, 1).buffer, room.buffer)
    assert.notStrictEqual(read(memory, 20_000, 2).buffer, room.buffer)
    assert.strictEqual(memory.take(room.length).buffer, room.buffer)
  })

  const holds = (chunk: Uint8Array, length: number, mark: number): void => {
    assert.strictEqual(chunk.length, length)
    assert.isTrue(chunk.every((byte) => byte === mark))
  }

  for (const [length, times] of [
    [2000, 8],
    [1000, 1]
  ] as const) {
    it(`is given up by a socket that brings little, for others to read into: ${times} × ${length} bytes`, () => {
      const memory = large()
      const block = memory.room().buffer
      for (let i = 0; i < times; i++) {
        assert.isAtLeast(memory.room().length, 64 * 1024)
        assert.isTrue(read(memory, length, i).every((byte) => byte === i))
      }
      assert.isAtMost(memory.room().length, 16 * 1024)
      assert.strictEqual(large().room().buffer, block)
    })
  }

  it("is given up with what is held of it, and not read into as long as it is", () => {
    const memory = large()
    const held = read(memory, 100_000, 1)
    for (let i = 0; i < 20; i++) read(memory, 1000, 2)
    const other = large()
    assert.notStrictEqual(read(other, 100_000, 3).buffer, held.buffer)
    holds(held, 100_000, 1)
    Chunk.release(held)
    assert.strictEqual(large().room().buffer, held.buffer)
  })

  it("is read into again, from its start, once all that was read into it has been released", () => {
    const memory = large()
    const first = read(memory, 100_000, 1)
    const second = read(memory, 100_000, 2)
    Chunk.release(first)
    holds(second, 100_000, 2)
    const third = read(memory, 40_000, 3)
    assert.notStrictEqual(third.buffer, first.buffer)
    holds(second, 100_000, 2)
    Chunk.release(second)
    Chunk.release(third)
    const fourth = read(memory, 100_000, 4)
    assert.strictEqual(fourth.byteOffset, 0)
    assert.isTrue(fourth.buffer === first.buffer || fourth.buffer === third.buffer)
  })

  it("is the same for a reader that releases each chunk, however much it reads", () => {
    const memory = large()
    const buffers = new Set<ArrayBufferLike>()
    for (let i = 0; i < 100; i++) {
      const { length } = memory.room()
      const chunk = read(memory, length, i)
      holds(chunk, length, i & 0xff)
      buffers.add(chunk.buffer)
      Chunk.release(chunk)
    }
    assert.isAtMost(buffers.size, 2)
  })

  it("gives the bytes of a read that was under way when chunks were released", () => {
    const memory = large()
    let room = memory.room()
    let last: Uint8Array | undefined
    for (let i = 1; i < 100; i++) {
      // As Node does it: the next read begins before the bytes of this one are used.
      const length = Math.min(room.length, 40_000 + 1000 * i)
      room.fill(i, 0, length)
      if (last !== undefined) Chunk.release(last)
      last = memory.take(length)
      holds(last, length, i)
      room = memory.room()
    }
  })

  it("never shows other bytes in a chunk that is held, whichever chunks are released, in whichever order", () => {
    const step = fc.oneof(
      fc.record({ read: fc.integer({ min: 1, max: 256 * 1024 }) }),
      fc.record({ release: fc.nat(20) })
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const memory = new ReadMemory()
        const held: Array<readonly [chunk: Uint8Array, length: number, mark: number]> = []
        for (const [mark, each] of steps.entries()) {
          if ("read" in each) {
            const length = Math.min(each.read, memory.room().length)
            held.push([read(memory, length, mark), length, mark])
          } else {
            const [gone] = held.splice(each.release % Math.max(1, held.length), 1)
            if (gone === undefined) continue
            holds(...gone)
            Chunk.release(gone[0])
            Chunk.release(gone[0])
          }
        }
        for (const each of held) holds(...each)
      }),
      { numRuns: 50 }
    )
  })

  it("keeps no more than a few released blocks for the next reads", () => {
    const memory = large()
    const full = () => read(memory, memory.room().length, 1)
    const chunks = Array.from({ length: 100 }, full)
    const known = new Set(chunks.map(({ buffer }) => buffer))
    chunks.forEach(Chunk.release)
    const again = Array.from({ length: 100 }, full).filter(({ buffer }) => known.has(buffer))
    assert.isAtMost(again.length, 17)
  })
})
