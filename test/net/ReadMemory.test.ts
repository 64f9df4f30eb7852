import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { ReadMemory } from "../../src/net/ReadMemory.ts"

/** Reads as a socket does: fills the room from its start with bytes that tell this read from the others. */
const read = (memory: ReadMemory, length: number, mark: number): Uint8Array => {
  memory.room().fill(mark, 0, length)
  return memory.take(length)
}

describe("memory to read into", () => {
  it("is not written again where what was read of it lies", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 64 * 1024 }), { maxLength: 50 }), (lengths) => {
        const memory = new ReadMemory()
        const chunks = lengths.map((length, i) => read(memory, length, i))
        for (const [i, chunk] of chunks.entries()) {
          assert.strictEqual(chunk.length, lengths[i])
          assert.isTrue(chunk.every((byte) => byte === i))
        }
      })
    )
  })

  it("has room for 64 KiB at least", () => {
    const memory = new ReadMemory()
    for (let i = 0; i < 20; i++) {
      assert.isAtLeast(memory.room().length, 64 * 1024)
      memory.take(60_000)
    }
  })

  it("is kept alive by much that was read, which is not copied, and not by a little", () => {
    const memory = new ReadMemory()
    const room = memory.room()
    assert.notStrictEqual(read(memory, 100, 1).buffer, room.buffer)
    assert.notStrictEqual(read(memory, 20_000, 2).buffer, room.buffer)
    assert.strictEqual(memory.take(room.length).buffer, room.buffer)
  })

  const holds = (chunk: Uint8Array, length: number, mark: number): void => {
    assert.strictEqual(chunk.length, length)
    assert.isTrue(chunk.every((byte) => byte === mark))
  }

  it("is written again while that is allowed, in pieces of their full size", () => {
    const memory = new ReadMemory()
    const before = read(memory, 100_000, 1)
    memory.reused = true
    const lent = read(memory, 100_000, 2)
    const size = memory.room().length
    assert.isAbove(size, 200_000)
    assert.strictEqual(read(memory, size, 3).buffer, lent.buffer)
    holds(lent, 100_000, 3)
    holds(before, 100_000, 1)
  })

  it("is not written again where what was read last lies once that is no longer allowed", () => {
    const memory = new ReadMemory()
    for (let i = 0; i < 3; i++) {
      memory.reused = true
      const last = read(memory, 50_000, 1)
      memory.reused = false
      const kept = read(memory, 50_000, 2)
      memory.reused = true
      holds(read(memory, 50_000, 3), 50_000, 3)
      memory.reused = false
      holds(last, 50_000, 1)
      holds(kept, 50_000, 2)
    }
  })

  it("costs no piece for a little that may be written again", () => {
    const memory = new ReadMemory()
    const { buffer } = memory.room()
    for (let i = 0; i < 100; i++) {
      memory.reused = true
      memory.room()
      holds(read(memory, 100, i), 100, i)
      memory.reused = false
      memory.room()
    }
    assert.strictEqual(memory.room().buffer, buffer)
  })
})
