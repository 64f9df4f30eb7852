import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { ReadMemory } from "../../src/wire/ReadMemory.ts"

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
})
